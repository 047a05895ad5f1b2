"""What the live loop bought, beside what the offline replay of the same stream buys; and whether its log says it must. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from benchmarks.healing.live_log import LiveLog
from drift.staleness import period_of
from homeostat.demo.results import BOUGHT
from homeostat.demo_policy import LABEL_DELAY_ROWS
from homeostat.electricity import BEGIN, STEP
from homeostat.offline_result import LoopReplay
from homeostat.replay import compare
from streams.events import Decided
from streams.policy import StalenessPolicy


class Kind(Enum):
    """What a purchase came to."""

    TRAINING = "training"
    CHALLENGER = "challenger"
    RECALL = "recall"
    NOTHING = "nothing"
    """No candidate was let through, or none yet."""


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STARTED: Final = frozenset({"RecallStarted", "TrainingStarted"})
_KINDS: Final = {"ChallengerFrozen": Kind.CHALLENGER, "Recalled": Kind.RECALL, "TrainingEnded": Kind.TRAINING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One of them, at the decision period whose losses made it due."""

    period: int
    kind: Kind

    def row_of(self, policy: StalenessPolicy) -> int:
        """The first row of the stream behind that period and the labels' delay."""
        end = -((BEGIN - _EPOCH - (self.period + 1) * policy.period) // STEP)
        return end + LABEL_DELAY_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How one list of purchases compares with another."""

    share: float | None
    """Of the first list, those that the second has in the same period and of the same kind; None: nothing was bought."""
    near_share: float | None
    """The same where the neighbouring periods will do."""
    parts_at: int | None
    """The first period in which only one of them bought, or another kind; None: they are equal."""


def agreement(first: Sequence[Purchase], second: Sequence[Purchase]) -> Agreement:
    """Compare them.

    >>> trained = [Purchase(period=7, kind=Kind.TRAINING), Purchase(period=9, kind=Kind.TRAINING)]
    >>> agreement(trained, [Purchase(period=7, kind=Kind.TRAINING), Purchase(period=10, kind=Kind.TRAINING)])
    Agreement(share=0.5, near_share=1.0, parts_at=9)
    """
    known = set(second)
    near = {Purchase(period=one.period + shift, kind=one.kind) for one in second for shift in (-1, 0, 1)}
    return Agreement(
        share=_share([one in known for one in first]),
        near_share=_share([one in near for one in first]),
        parts_at=min((one.period for one in known.symmetric_difference(first)), default=None),
    )


def live_purchases(log: LiveLog) -> list[Purchase]:
    """What the controller decided to buy, and what came of it."""
    decisions = list(log.decisions())
    return [Purchase(period=period, kind=_came_to(decisions, bought)) for period, bought in _bought(decisions)]


def replay_purchases(replay: LoopReplay, policy: StalenessPolicy) -> list[Purchase]:
    """The same of an offline replay."""
    found = []
    for tried in replay.tried:
        kind = Kind.NOTHING if tried.outcome == "gate" else Kind.TRAINING
        kind = Kind.RECALL if tried.recalled else Kind.CHALLENGER if tried.frozen else kind
        # Due at the first stop by which all labels of the period are in: it is the newest whole period of them.
        found.append(Purchase(period=period_of(BEGIN + (tried.due - LABEL_DELAY_ROWS) * STEP, policy) - 1, kind=kind))
    return found


def refolds(log: LiveLog) -> bool | None:
    """Whether the pure core, folding the log's losses, scores and results anew, buys exactly what was bought; None: nothing was."""
    if not any(decision.kind in BOUGHT for decision in log.decisions()):
        return None
    return compare(log.control, log.decided).differing == ()


def _bought(decisions: Sequence[Decided]) -> Iterator[tuple[int, Decided]]:
    period = None
    for decision in decisions:
        if decision.kind == "StalenessMeasured":
            period = int(decision.numbers["period"])
        elif decision.kind in BOUGHT and period is not None:
            yield period, decision


def _came_to(decisions: Sequence[Decided], bought: Decided) -> Kind:
    run = next((one.run for one in decisions if one.kind in _STARTED and one.cause == bought.cause), None)
    of_run = [one for one in decisions if run is not None and one.run == run]
    if not any(one.kind == "ShadowStarted" for one in of_run):
        return Kind.NOTHING
    return next((_KINDS[one.kind] for one in of_run if one.kind in _KINDS), Kind.NOTHING)


def _share(found: Sequence[bool]) -> float | None:
    return round(sum(found) / len(found), 4) if found else None
