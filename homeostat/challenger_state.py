"""What the agents keep of one model's challenger between two lake files: its file, written whole before anything is told of it.

Challenger, what it has covered, the records it owes and the newest row losses stand in one file: whatever a crash leaves, they
fit together. Others (the trainer, commands) only read it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from homeostat.challenger_ring import LossRing
from streams.adapters.store import write_durably
from streams.events import ChallengerScored, QuarantineRule

CHALLENGERS: Final = "challengers"
"""Their directory. What is in it names offsets of the lake's files: it goes where the lake goes."""
SUFFIX: Final = ".challenger"
SCHEMA: Final = 1


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What decides which rows are left out, as far as the challenger knows: it begins anew when this changes."""

    rules: tuple[QuarantineRule, ...] = ()
    """Incidents, open and closed."""
    accepted: tuple[str, ...] = ()
    """Features that really changed."""
    released: tuple[QuarantineRule, ...] = ()
    """Incidents that a person ended."""
    quarantining: bool = True
    """Whether the policy wants any quarantine."""

    @property
    def incidents(self) -> tuple[str, ...]:
        """Ids of the incidents that it knows, those that a person ended among them."""
        return tuple(rule.incident for rule in (*self.rules, *self.released))


class ChallengerState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the challenger of one model."""

    schema: int = SCHEMA
    model: str
    contract: str
    """Digest of the contract by which its rows are encoded."""
    challenger: bytes
    """As `drift.challenger.encode` writes it."""
    covers: dict[str, int] = {}
    """'labels-partition' to the end offset of the newest file that it has taken, or passed over."""
    lakes: tuple[str, ...] = ()
    """Lakes that lay set aside, also those removed since: one more, and the log is another, to whose offsets `covers` says nothing."""
    heard: Heard = Heard()
    learnt_until: datetime | None = None
    """Latest time of a prediction that it has learnt from."""
    taken: int = 0
    """Label rows of the model that it has taken since the lake began, those left out among them."""
    recent: bytes = b""
    """Identities of the newest rows that it was taught; read them with `challenger_keys`."""
    ring: LossRing = LossRing()
    unsent: tuple[ChallengerScored, ...] = ()
    """Records that the broker is not known to have."""
    restarted: str = ""
    """Why it began anew, until a record says so."""


class UnusableState(Exception):
    """There is a file, and it cannot be used."""


def path_of(data: Path, model: str) -> Path:
    """Where a model's file lies under the data directory.

    >>> path_of(Path("data"), "electricity").as_posix()
    'data/challengers/electricity.challenger'
    """
    return data / CHALLENGERS / f"{model}{SUFFIX}"


def read_state(path: Path) -> ChallengerState | None:
    """What the file holds; None: there is none. Raises UnusableState."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableState(f"{path} cannot be read: {error}") from error
    try:
        state = msgspec.msgpack.decode(data, type=ChallengerState)
    except msgspec.DecodeError as error:
        raise UnusableState(f"{path} is no state of a challenger ({error})") from error
    if state.schema != SCHEMA:
        raise UnusableState(f"{path} is of schema {state.schema}, and {SCHEMA} is wanted")
    return state


def write_state(path: Path, state: ChallengerState) -> None:
    """Replace the file: a crash leaves the old one or the new one. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, msgspec.msgpack.encode(state))
