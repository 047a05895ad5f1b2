"""The newest row losses of champion and challenger, on the very same rows, as columns of fixed width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.events import UNIT

RING_ROWS: Final = 20_000
RELEASES: Final = 256
"""Releases that the rows of a ring may name; rows of the oldest leave with it."""
_TIMES: Final = np.dtype("<i8")
_PLACES: Final = np.dtype("<u2")
_LOSSES: Final = np.dtype("<i4")


class LossRing(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the order in which they were scored. Columns are little-endian; read them with `losses_in`."""

    releases: tuple[str, ...] = ()
    at_us: bytes = b""
    """When each row was predicted, microseconds since 1970; int64."""
    release: bytes = b""
    """Place in `releases` of the champion that answered; uint16."""
    champion: bytes = b""
    """Its loss in UNITs; int32."""
    challenger: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLosses:
    """A ring's rows. Losses lie in [0, 1] and are whole UNITs."""

    at_us: NDArray[np.int64]
    release: tuple[str, ...]
    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.release)


def losses_in(ring: LossRing) -> RowLosses:
    """The rows, oldest first. Raises ValueError where the columns do not fit together."""
    times = np.frombuffer(ring.at_us, _TIMES)
    places = np.frombuffer(ring.release, _PLACES)
    champion, challenger = np.frombuffer(ring.champion, _LOSSES), np.frombuffer(ring.challenger, _LOSSES)
    if not len(times) == len(places) == len(champion) == len(challenger):
        raise ValueError(f"a ring's columns have {len(times)}, {len(places)}, {len(champion)} and {len(challenger)} rows")
    if len(places) and int(places.max()) >= len(ring.releases):
        raise ValueError(f"a ring's row names release {int(places.max())} of {len(ring.releases)}")
    return RowLosses(
        at_us=times.astype(np.int64),
        release=tuple(ring.releases[place] for place in places.tolist()),
        champion=champion / UNIT,
        challenger=challenger / UNIT,
    )


def extended(ring: LossRing, rows: RowLosses, limit: int = RING_ROWS) -> LossRing:
    """The ring with these rows behind its own: the newest `limit` of all.

    >>> row = RowLosses(at_us=np.array([7]), release=("r",), champion=np.array([1.0]), challenger=np.array([0.25]))
    >>> ring = extended(extended(LossRing(), row), row)
    >>> len(losses_in(ring)), losses_in(ring).challenger.tolist(), len(losses_in(extended(ring, row, limit=2)))
    (2, [0.25, 0.25], 2)
    """
    names = dict.fromkeys((*ring.releases, *rows.release))
    place_of = {name: place for place, name in enumerate(names)}
    own = np.array([place_of[name] for name in rows.release], dtype=_PLACES)
    whole = LossRing(
        releases=tuple(names),
        at_us=_newest(ring.at_us, rows.at_us.astype(_TIMES), limit),
        release=_newest(ring.release, own, limit),
        champion=_newest(ring.champion, np.rint(rows.champion * UNIT).astype(_LOSSES), limit),
        challenger=_newest(ring.challenger, np.rint(rows.challenger * UNIT).astype(_LOSSES), limit),
    )
    return whole if len(names) <= RELEASES else _without_gone(whole)


def before(ring: LossRing, at_us: int) -> LossRing:
    """The ring without the rows that were predicted at that time or later."""
    return _only(ring, np.frombuffer(ring.at_us, _TIMES) < at_us)


def _newest(known: bytes, added: NDArray[np.generic], limit: int) -> bytes:
    return (known + added.tobytes())[-limit * added.itemsize :]


def _without_gone(ring: LossRing) -> LossRing:
    """Only the releases that rows name still; of those the newest RELEASES."""
    places = np.frombuffer(ring.release, _PLACES)
    newest = dict.fromkeys(reversed(places.tolist()))  # in the order of their last row
    kept = sorted(list(newest)[:RELEASES])
    ring = _only(ring, np.isin(places, kept))
    places = np.searchsorted(kept, np.frombuffer(ring.release, _PLACES)).astype(_PLACES)
    return msgspec.structs.replace(ring, releases=tuple(ring.releases[place] for place in kept), release=places.tobytes())


def _only(ring: LossRing, stays: NDArray[np.bool_]) -> LossRing:
    return LossRing(
        releases=ring.releases,
        at_us=np.frombuffer(ring.at_us, _TIMES)[stays].tobytes(),
        release=np.frombuffer(ring.release, _PLACES)[stays].tobytes(),
        champion=np.frombuffer(ring.champion, _LOSSES)[stays].tobytes(),
        challenger=np.frombuffer(ring.challenger, _LOSSES)[stays].tobytes(),
    )
