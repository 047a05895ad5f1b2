"""What the demo showed, judged. Pure: what was served and decided in, numbers and shortfalls out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from homeostat.demo.follower import Seen
from homeostat.demo.stream import HEALED, NULL
from homeostat.demo_policy import NULL_ALLOWED

BOUGHT: Final = frozenset({"TrainingBought", "ChallengerWanted"})
CANDIDATES: Final = frozenset({"TrainingStarted", "ChallengerFrozen"})
"""What makes a new candidate: a training, or the challenger as it stands."""
CANDIDATES_PER_NULL: Final = 3
MOST_ROWS_TO_PROMOTED: Final = 400
"""Delay eats what a training gains."""
BLOCK_ROWS: Final = 336
"""A week of half-hours: labels of neighbouring rows are alike, those of neighbouring weeks hardly."""
CONFIDENCE: Final = 0.95

Hits = NDArray[np.float64]
"""Per row 1 where an answer was right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Mean of a paired difference, and where it lies with CONFIDENCE."""

    mean: float
    low: float
    high: float
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A candidate's way from the training that was bought to its promotion; rows of its stream at each."""

    bought: int
    promoted: int
    release: str

    @property
    def rows(self) -> int:
        """Rows that the stream went on meanwhile."""
        return self.promoted - self.bought


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was counted."""

    seen: Sequence[Seen]
    served: Hits
    """Of the healed model, on its streamed rows."""
    frozen: Hits
    """Of its first release, on the same rows."""
    first_row: int
    clock: float
    sent: int
    accounted: int
    miscounted: int
    """Rows lost, or counted twice, between the answers and the agents' counts."""
    seed: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """`document` is the line that --json ends with."""

    document: dict[str, Any]
    gain: Interval | None
    shortfalls: tuple[str, ...]


def block_interval(differences: Hits, block_rows: int = BLOCK_ROWS) -> Interval | None:
    """Mean of autocorrelated paired differences with a t interval over the means of whole blocks; None below two blocks.

    >>> block_interval(np.ones(3 * 336)).low
    1.0
    """
    blocks = len(differences) // block_rows
    if blocks < 2:
        return None
    means = differences[: blocks * block_rows].reshape(blocks, block_rows).mean(axis=1)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, blocks - 1)) * float(means.std(ddof=1)) / math.sqrt(blocks)
    mean = float(means.mean())
    return Interval(mean=mean, low=mean - half, high=mean + half, blocks=blocks)


def paths(seen: Sequence[Seen], model: str) -> list[Path]:
    """Candidates that the loop bought, tried in shadow and in a canary, and promoted, all by itself."""
    found = []
    bought: int | None = None
    by_run: dict[str, tuple[int, set[str]]] = {}
    for one in seen:
        decision = one.decision
        if decision.model != model:
            continue
        if decision.kind in BOUGHT:
            bought = one.row
        elif decision.kind in CANDIDATES and bought is not None:
            by_run[decision.run], bought = (bought, set()), None
        elif decision.run in by_run:
            row, kinds = by_run[decision.run]
            kinds.add(decision.kind)
            if decision.kind == "Promoted" and {"ShadowStarted", "StepTaken"} <= kinds:
                found.append(Path(bought=row, promoted=one.row, release=decision.release))
    return found


def judge(measured: Measured) -> Results:
    """Everything the demo must show, each shortfall as a sentence."""
    healed_paths = paths(measured.seen, HEALED)
    gain = None
    if healed_paths:
        since = healed_paths[0].promoted - measured.first_row
        gain = block_interval(measured.served[since:] - measured.frozen[since:])
    trainings = _count(measured.seen, HEALED, "TrainingStarted")
    document = {
        "healed": bool(healed_paths) and gain is not None and gain.low > 0.0,
        "trainings": trainings,
        "promotions": _count(measured.seen, HEALED, "Promoted"),
        "rollbacks": _count(measured.seen, HEALED, "RolledBack"),
        "challengers": _count(measured.seen, HEALED, "ChallengerFrozen"),
        "null_trainings": _count(measured.seen, NULL, "TrainingStarted"),
        "null_challengers": _count(measured.seen, NULL, "ChallengerFrozen"),
        "null_allowed": NULL_ALLOWED,
        "null_promotions": _count(measured.seen, NULL, "Promoted"),
        "recalls": _count(measured.seen, HEALED, "Recalled"),
        "false_incidents": sum(_count(measured.seen, model, "IncidentOpened") for model in (HEALED, NULL)),
        "rows_due_to_promoted": float(np.median([path.rows for path in healed_paths])) if healed_paths else None,
        "accuracy_served": _rounded(measured.served),
        "accuracy_frozen": _rounded(measured.frozen),
        "accuracy_clock": round(measured.clock, 4),
        "events_sent": measured.sent,
        "events_accounted": measured.accounted,
        "seed": measured.seed,
        "seconds": round(measured.seconds, 1),
    }
    return Results(document=document, gain=gain, shortfalls=tuple(_shortfalls(document, healed_paths, gain, measured)))


def _shortfalls(document: dict[str, Any], healed: list[Path], gain: Interval | None, measured: Measured) -> list[str]:
    said = []
    if not healed:
        said.append(f"no candidate of {HEALED} went from a bought training through shadow and canary to promotion")
    elif gain is None:
        said.append(f"too few rows after the first promotion to compare: {2 * BLOCK_ROWS} are needed")
    elif gain.low <= 0.0:
        said.append(
            f"the gain over the frozen model is not proved: {gain.mean:+.4f}, 95 % interval {gain.low:+.4f} to {gain.high:+.4f}"
        )
    null = document["null_trainings"] + document["null_challengers"]
    if null > NULL_ALLOWED:
        said.append(f"{null} candidates on {NULL}, where nothing changes; at most {NULL_ALLOWED} are allowed")
    made, wanted = document["trainings"] + document["challengers"], CANDIDATES_PER_NULL * max(1, null)
    if made < wanted:
        said.append(f"{made} candidates on {HEALED}; at least {wanted} must stand against those on {NULL}")
    if document["false_incidents"]:
        said.append(f"{document['false_incidents']} data bugs were called on streams whose data is well")
    if measured.miscounted:
        said.append(f"{measured.miscounted} rows were not counted exactly once")
    if (document["rows_due_to_promoted"] or 0) > MOST_ROWS_TO_PROMOTED:
        said.append(
            f"a promotion took {document['rows_due_to_promoted']:g} rows of stream from when it was due, in the median; "
            f"at most {MOST_ROWS_TO_PROMOTED} are wanted"
        )
    if measured.sent != measured.accounted:
        said.append(f"of {measured.sent} events sent, {measured.accounted} were found in the lake and the dead letters")
    return said


def _count(seen: Sequence[Seen], model: str, kind: str) -> int:
    return sum(1 for one in seen if one.decision.model == model and one.decision.kind == kind)


def _rounded(hits: Hits) -> float:
    return round(float(hits.mean()), 4) if len(hits) else 0.0
