"""What the release that took over last has won, by the one before it, which went on beside it as its control.

Pure: decisions and records of evidence in, one figure with its interval out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from streams.events import UNIT, Control, Decided, EvidenceGathered

CERTAIN_SD: Final = 1.96
MOST_EVIDENCE: Final = 50
"""Newest records of a bake that are looked at: evidence is cumulative, so that one would do."""
_BAKE_OVER: Final = frozenset({"BakeEnded", "RolledBack", "Promoted", "ShadowStarted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """What the release that took over last has won, by the one before, which went on beside it as control.

    Errors per row, with an interval (95 %) that takes rows for independent; `errors`: if the rest of its rows went alike.
    """

    release: str
    origin: str
    """training | recall | challenger | person"""
    control: str
    rows: int
    gain: float
    low: float
    high: float
    rows_since: float
    errors: float


def bake_of(decisions: Sequence[Decided]) -> tuple[Decided | None, tuple[Decided, ...]]:
    """The decision that last brought a release to the top, and those on the evidence of its bake, oldest first."""
    last = max((place for place, one in enumerate(decisions) if one.kind == "Promoted"), default=None)
    if last is None:
        return None, ()
    promoted, bake = decisions[last], []
    for one in decisions[last + 1 :]:
        if (one.partition, one.offset) == (promoted.partition, promoted.offset):
            continue  # what waited got its turn in the same breath
        if one.kind == "EvidenceNoted" or one.kind in _BAKE_OVER:
            bake.append(one)
        if one.kind in _BAKE_OVER:
            break
    return promoted, tuple(bake[-MOST_EVIDENCE:])


def won(decisions: Sequence[Decided], bake: Iterable[Control], measured: Sequence[tuple[str, float]]) -> tuple[Won | None, str]:
    """It, or None and why it cannot be told. `bake`: the records that `bake_of`'s decisions were made on; `measured`: champion and
    labelled rows of each period."""
    promoted, _ = bake_of(decisions)
    if promoted is None:
        return None, "no release has taken over since the registration"
    told = [
        one for one in bake
        if isinstance(one, EvidenceGathered) and one.arm == "control" and one.champion == promoted.release and one.n
    ]  # fmt: skip
    if not told:
        return None, "no labelled row is counted yet, or kept, of the control beside the release that took over last"
    last = max(told, key=lambda one: (one.generation, one.step, one.n))
    gain = last.difference / UNIT / last.n
    variance = max(last.difference_squared / UNIT / last.n - gain * gain, 0.0)
    half = CERTAIN_SD * math.sqrt(variance / last.n)
    rows_since = math.fsum(rows for release, rows in measured if release == promoted.release)
    found = Won(
        release=promoted.release,
        origin=_origin(decisions, promoted),
        control=last.release,
        rows=last.n,
        gain=gain,
        low=gain - half,
        high=gain + half,
        rows_since=rows_since,
        errors=gain * rows_since,
    )
    return found, ""


def _origin(decisions: Sequence[Decided], promoted: Decided) -> str:
    """How the release came to be a candidate."""
    of_run = [one for one in decisions if promoted.run and one.run == promoted.run]
    if any(one.kind == "CandidateOffered" for one in of_run) or not of_run:
        return "person"
    if any(one.kind == "ChallengerFrozen" for one in of_run):
        return "challenger"
    return "recall" if any(one.kind == "Recalled" for one in of_run) else "training"
