"""When to retrain: measured staleness against the price of a training.

Alarms are the wrong trigger: one fires when the training window holds least of the new world, and knows no price.
This machine buys a training when the champion's excess loss, over a life like the last one, is worth its price:

    ahead = .8 * age * e_next - sum(e)  >= price      marginal value: what the next life costs if it is like this one
    lost  = sum(e)                      >= 1.5 price   ski rental: a champion that was poor from the start

and, as a guard against noise, only if e is at least `guard_sd` of its standard deviations above 0. A run that was
refused (rejected candidate, failed training) has sunk its price: the account starts again, and a back-off doubles with
each refusal in a row. Unit of time: a closed period with traffic. Price: errors / usual rows a period.

States: waiting for losses -> measuring -> bought (until the run ends by a new champion, or is refused).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, assert_never

import msgspec

from drift import excess_filter
from drift.excess_filter import Excess
from streams.policy import StalenessPolicy

AHEAD: Final = 0.8
"""Below 1, because the world may change before the next life ends."""
LOST: Final = 1.5
BACK_OFF_PERIODS: Final = 2
BACK_OFF_LIMIT: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodMeasured:
    """Losses of the serving champion in one closed period: mean difference to the reference and variance of a row's difference."""

    rows: int
    difference: float
    row_variance: float


@dataclass(frozen=True, slots=True)
class ChampionReplaced:
    """Another release serves from now on."""


@dataclass(frozen=True, slots=True)
class RunRefused:
    """The training bought gave nothing that serves."""


@dataclass(frozen=True, slots=True)
class TrainingTaken:
    """A training started, for whatever reason: nothing more is bought until it ends."""


Event = PeriodMeasured | ChampionReplaced | RunRefused | TrainingTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Staleness against its price after a period. `buy` says that a training pays now."""

    buy: bool
    why: str
    numbers: dict[str, float]


class Staleness(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one model."""

    excess: Excess = Excess()
    age: int = 0
    """Periods this champion served."""
    seen: int = 0
    """... of which labels are known."""
    total: float = 0.0
    """Sum of e over those."""
    last: float = 0.0
    last_sd: float = 0.0
    growth: float = 0.0
    refusals: int = 0
    """In a row."""
    wait: int = 0
    """Periods for which the back-off still holds."""
    running: bool = False


def advance(state: Staleness, event: Event, policy: StalenessPolicy) -> tuple[Staleness, tuple[Assessment, ...]]:
    """One step of the machine.

    >>> from datetime import timedelta
    >>> policy = StalenessPolicy(period=timedelta(hours=1), training_worth_errors=40.0)
    >>> state, bought = Staleness(), None
    >>> for period in range(60):  # loss 20 % for 30 periods of 100 rows, then 35 %
    ...     loss = 0.20 if period < 30 else 0.35
    ...     state, (assessment,) = advance(state, PeriodMeasured(rows=100, difference=loss, row_variance=loss * (1 - loss)), policy)
    ...     if assessment.buy and bought is None:
    ...         bought = period
    >>> bought
    31
    """
    match event:
        case PeriodMeasured():
            state = _measured(state, event)
            return state, (assess(state, policy),)
        case ChampionReplaced():
            return _account_reset(state, refusals=0, wait=0), ()
        case RunRefused():
            refusals = state.refusals + 1
            wait = min(BACK_OFF_PERIODS * 2 ** (refusals - 1), BACK_OFF_LIMIT)
            return _account_reset(state, refusals=refusals, wait=wait), ()
        case TrainingTaken():
            return msgspec.structs.replace(state, running=True), ()
        case _:
            assert_never(event)


def period_of(at: datetime, policy: StalenessPolicy) -> int:
    """Number of the decision period that an event time falls into: whole periods since 1970."""
    return (at - _EPOCH) // policy.period


def assess(state: Staleness, policy: StalenessPolicy) -> Assessment:
    """Does a training pay now? With the numbers, in errors (units of loss), for the log."""
    rows = state.excess.usual_rows
    if rows == 0.0:
        return Assessment(buy=False, why="no labelled period yet", numbers={})
    price = policy.training_worth_errors / rows
    growth = max(state.growth, 0.0)
    gap = state.age - state.seen  # periods whose labels are still out: known growth goes on
    ahead_periods = gap + 1 if state.seen else state.age
    excess = state.last + growth * ahead_periods
    lost = state.total + gap * state.last + growth * gap * (gap + (1 if state.seen else -1)) / 2.0
    ahead = AHEAD * state.age * excess - lost
    sure = state.last >= policy.guard_sd * state.last_sd
    numbers = {
        "excess": excess,
        "excess_sd": state.last_sd,
        "lost_errors": lost * rows,
        "ahead_errors": ahead * rows,
        "price_errors": policy.training_worth_errors,
        "age_periods": float(state.age),
    }
    why, buy = _verdict(state, policy, pays=excess > 0.0 and (ahead >= price or lost >= LOST * price), sure=sure)
    return Assessment(buy=buy, why=why, numbers=numbers)


def _verdict(state: Staleness, policy: StalenessPolicy, *, pays: bool, sure: bool) -> tuple[str, bool]:
    if not policy.enabled:
        return "staleness buys nothing under this policy", False
    if state.running:
        return "a training is under way", False
    if not pays:
        return "a training costs more than the staleness ahead", False
    if not sure:
        return f"it would pay, but the excess is below {policy.guard_sd:g} sd of it", False
    if state.wait > 0:
        return f"it would pay, but {state.refusals} refused in a row: waiting {state.wait} more periods", False
    return "the staleness ahead is worth more than a training", True


def _measured(state: Staleness, event: PeriodMeasured) -> Staleness:
    wait = max(state.wait - 1, 0)
    if event.rows == 0:
        return msgspec.structs.replace(state, age=state.age + 1, wait=wait)
    excess = excess_filter.observe(
        state.excess,
        rows=event.rows,
        difference=event.difference,
        row_variance=event.row_variance,
        first_of_champion=state.seen == 0,
    )
    present, sd, growth = excess.present()
    return msgspec.structs.replace(
        state,
        excess=excess,
        age=state.age + 1,
        seen=state.seen + 1,
        total=state.total + present,
        last=present,
        last_sd=sd,
        growth=growth,
        wait=wait,
    )


def _account_reset(state: Staleness, *, refusals: int, wait: int) -> Staleness:
    # Replaced unseen: believe in the growth a little less, so that it is measured again.
    growth = state.growth if state.seen else 0.97 * state.growth
    return Staleness(excess=excess_filter.fresh_champion(state.excess), growth=growth, refusals=refusals, wait=wait)
