"""A control log with a challenger: periods closed and scored, by errors in a hundred rows of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from homeostat.chaos.as_agents_tell import score, scores_told
from homeostat.model_state import ModelState
from streams.events import ChallengerScored, RecallFinished, TrainingOrder, derived_id
from streams.policy import ChallengerPolicy, Policy
from tests.core.control_log import EVENT_T0, PERIOD, POLICY, ROWS, ControlLog, evidence, losses, promote, registered

GOOD, BAD = 20, 40
"""Errors of the champion in a hundred rows, before and after; the challenger keeps to the good ones."""
SAID: dict[str, Any] = {"at": EVENT_T0, "model": "m", "actor": "ada", "reason": "because"}
"""What all records have."""


def policy(challenger: ChallengerPolicy | None = None, **others: Any) -> Policy:
    """Price 0, so that a small excess buys; where a story wants another it says so."""
    return msgspec.structs.replace(POLICY, challenger=challenger or ChallengerPolicy(silent_periods=3), **others)


def priced(cost: str, *, noise_trainings: float = 1.0, challenger_cost: float = 0.1, trigger: str = "staleness") -> Policy:
    """At that price."""
    staleness = msgspec.structs.replace(
        POLICY.staleness,
        retrain_cost=cost,
        noise_trainings=noise_trainings,
        challenger_cost=challenger_cost,
        trigger=trigger,
    )
    return policy(staleness=staleness)


def started(wanted: Policy | None = None) -> ControlLog:
    """A registered model."""
    log = ControlLog()
    log.tell(registered(policy=wanted or policy()))
    return log


def scored(period: int, champion: int, challenger: int, *, release: str = "first", rows: int = ROWS) -> ChallengerScored:
    """All rows of a period, in one file of its own."""
    told = score(release, period, labelled=rows, champion=champion, challenger=challenger)
    return scores_told("m", EVENT_T0 + PERIOD * (period + 1), (told,), first=period * 1_000, end=(period + 1) * 1_000)


def measured(log: ControlLog, period: int, champion: int, challenger: int = GOOD, *, release: str = "first") -> list[str]:
    """Scored, and then closed; what is decided on both."""
    first = log.tell(scored(period, champion, challenger, release=release))
    return first + log.tell(losses(period, champion, release=release))


def stale_until_wanted(log: ControlLog, *, release: str = "first", first: int = 0, bad: int = BAD) -> list[str]:
    """Periods as good as the challenger, then bad ones until something is bought; the kinds decided then."""
    for period in range(first, first + 60):
        kinds = measured(log, period, GOOD if period < first + 20 else bad, release=release)
        if {"ChallengerWanted", "TrainingBought"} & {*kinds}:
            return kinds
    raise AssertionError("nothing was bought in 60 periods")


def order_of(log: ControlLog) -> TrainingOrder:
    """The newest order."""
    return next(one.order for one in reversed(log.decisions) if one.order is not None)


def answered(log: ControlLog, release: str, *, challenger: bool = True, attempt: int = 1) -> list[str]:
    """The trainer's answer to the newest order."""
    run = order_of(log).run
    return log.tell(
        RecallFinished(
            id=derived_id(run, "recall", attempt, release), at=EVENT_T0 + timedelta(days=1), model="m", actor="trainer",
            reason="tried", run=run, attempt=attempt, release=release, challenger=challenger,
        )
    )  # fmt: skip


def model(log: ControlLog) -> ModelState:
    """The state of the one model."""
    (state,) = log.state.models.values()
    return state


def wanted(**of_policy: Any) -> ControlLog:
    """With a challenger asked for."""
    log = started(policy(**of_policy))
    assert "ChallengerWanted" in stale_until_wanted(log)
    return log


def serving_frozen() -> ControlLog:
    """It was frozen, tried and promoted, and its bake is over."""
    log = wanted()
    answered(log, "frozen")
    promote(log)
    log.tell(evidence(log.routes[-1], 300, arm="control"))
    assert log.kinds()[-2:] == ["Promoted", "BakeEnded"]
    return log
