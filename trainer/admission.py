"""Which wanted trainings start: one run in flight, cooldown, budget, circuit breaker.

A want comes from the staleness rule (automatic) or from a person. It starts, joins the run in flight, or is refused
with the reason and the numbers. The run id is derived from model and cause, so the same want twice is one run. A
person's want ignores cooldown and breaker, never the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from streams.events import derived_id
from streams.policy import AdmissionPolicy

BUDGET_WINDOW: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Somebody wants a training. `at`: the event time reached, or when a person asked, if that is later."""

    model: str
    cause: str
    """Id of the record that caused it."""
    at: datetime
    automatic: bool
    in_flight: str
    """Run under way, or ''."""


@dataclass(frozen=True, slots=True)
class Start:
    """A run starts."""

    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """No run starts, and why."""

    why: str
    numbers: dict[str, float]
    joined: str = ""
    """The run in flight that will serve this want too."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What the limits need to know. `started` is bounded by twice the budget (older ones are forgotten)."""

    started: tuple[datetime, ...] = ()
    failed_in_a_row: int = 0


def advance(state: Admission, want: Wanted, policy: AdmissionPolicy) -> tuple[Admission, Start | Refuse]:
    """Admit or refuse one want."""
    if want.in_flight:
        return state, Refuse(why="a run is in flight; this request joins it", numbers={}, joined=want.in_flight)
    # A person's moment may lie beyond the event time reached: it counts once that has come.
    recent = tuple(moment for moment in state.started if moment <= want.at and want.at - moment < BUDGET_WINDOW)
    if len(recent) >= policy.trainings_per_30_days:
        return state, Refuse(
            why="the budget of trainings per 30 days is used up",
            numbers={"started": float(len(recent)), "budget": float(policy.trainings_per_30_days)},
        )
    if want.automatic:
        refusal = _automatic_limits(state, recent, want, policy)
        if refusal is not None:
            return state, refusal
    failed = state.failed_in_a_row if want.automatic else 0  # a person's request closes the breaker
    started = (*state.started, want.at)[-2 * policy.trainings_per_30_days :]
    return Admission(started=started, failed_in_a_row=failed), Start(derived_id(want.model, "run", want.cause))


def run_ended(state: Admission, *, failed: bool) -> Admission:
    """A run gave a candidate, or failed for good."""
    return msgspec.structs.replace(state, failed_in_a_row=state.failed_in_a_row + 1 if failed else 0)


def spared(state: Admission) -> Admission:
    """The newest start needed no training: it does not count against the budget."""
    return msgspec.structs.replace(state, started=state.started[:-1])


def _automatic_limits(state: Admission, recent: tuple[datetime, ...], want: Wanted, policy: AdmissionPolicy) -> Refuse | None:
    if state.failed_in_a_row >= policy.failures_to_open:
        return Refuse(
            why="the circuit breaker is open after runs that failed in a row; a manual retrain closes it",
            numbers={"failed": float(state.failed_in_a_row), "limit": float(policy.failures_to_open)},
        )
    if recent and want.at < recent[-1] + policy.cooldown:
        return Refuse(
            why="cooldown",
            numbers={"seconds_left": (recent[-1] + policy.cooldown - want.at).total_seconds()},
        )
    return None
