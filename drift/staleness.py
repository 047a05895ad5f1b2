"""When to retrain: measured staleness against the price of a training.

Alarms are the wrong trigger: one fires when the training window holds least of the new world, and knows no price.
This machine buys a training when the champion's excess loss, over a life like the last one, is worth its price:

    ahead = .8 * age * e_next - sum(e)  >= price      marginal value: what the next life costs if it is like this one
    lost  = sum(e)                      >= 1.5 price   ski rental: a champion that was poor from the start

and, as a guard against noise, only if e is so many of its standard deviations above 0 that noise alone would buy no more
trainings than the policy declares (`drift.noise_guard`). A run that was
refused (rejected candidate, failed training) has sunk its price: the account starts again, and a back-off doubles with
each refusal in a row. Unit of time: a closed period with traffic. Price: errors / usual rows a period.

States: waiting for losses -> measuring -> bought (until the run ends by a new champion, or is refused).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, assert_never

import msgspec

from drift import excess_filter
from drift.excess_filter import Excess
from drift.options import Life, Name, Option, option
from streams.policy import StalenessPolicy
from streams.price import told

BACK_OFF_PERIODS: Final = 2
BACK_OFF_LIMIT: Final = 64
_WHY: Final[dict[Name, str]] = {
    "training": "the staleness ahead is worth more than a training",
    "challenger": "the challenger, frozen as it is, is worth more than a training, or than waiting for one",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodMeasured:
    """Losses of the serving champion in one closed period: mean difference to the reference and variance of a row's difference."""

    rows: int
    difference: float
    row_variance: float
    offered: bool = False
    """What it was measured against is a challenger that may be served as it is."""


@dataclass(frozen=True, slots=True)
class ChampionReplaced:
    """Another release serves from now on. `frozen`: it is a frozen challenger."""

    frozen: bool = False


@dataclass(frozen=True, slots=True)
class RunRefused:
    """The training bought gave nothing that serves. `frozen`: who serves (again) is a frozen challenger; None: it is who it was."""

    frozen: bool | None = None


@dataclass(frozen=True, slots=True)
class TrainingTaken:
    """A training started, for whatever reason: nothing more is bought until it ends."""


@dataclass(frozen=True, slots=True)
class MeasureChanged:
    """Losses are measured against something else from now on: what was learnt of them says nothing any more.

    `frozen`: the champion is a frozen challenger, and a challenger is what it is measured against.
    """

    frozen: bool = False


@dataclass(frozen=True, slots=True)
class WorldMoved:
    """A drift alarm: whatever refusals have it wait for is looked at now."""


Event = PeriodMeasured | ChampionReplaced | RunRefused | TrainingTaken | MeasureChanged | WorldMoved


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Staleness against its price after a period: what pays now, if anything, and whether a training would, if it is not that."""

    option: Name | Literal[""]
    why: str
    numbers: dict[str, float]
    training_pays: bool = False
    """A training does: where it is not what pays most, it is what is left when that comes to nothing."""

    @property
    def buy(self) -> bool:
        """Something pays."""
        return self.option != ""


class Staleness(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one model."""

    excess: Excess = Excess()
    age: int = 0
    """Periods this champion served."""
    seen: int = 0
    """... of which labels are known."""
    missed: int = 0
    """The newest of them, of which none are known yet."""
    total: float = 0.0
    """Sum of e over those that ended with a known one."""
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
    >>> policy = StalenessPolicy(period=timedelta(hours=1), retrain_cost="40 errors")
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
            known = event.rows > 0 and math.isfinite(event.difference) and math.isfinite(event.row_variance)
            state = _measured(state, event) if known else _unmeasured(state)
            return state, (assess(state, policy, measured=known, offered=event.offered),)
        case ChampionReplaced():
            return _account_reset(state, frozen=event.frozen), ()
        case RunRefused():
            refusals = state.refusals + 1
            wait = min(BACK_OFF_PERIODS * 2 ** min(refusals - 1, 16), BACK_OFF_LIMIT)
            frozen = state.excess.frozen if event.frozen is None else event.frozen
            fresh = _account_reset(state, frozen=frozen)
            return msgspec.structs.replace(fresh, refusals=refusals, wait=wait), ()
        case TrainingTaken():
            return msgspec.structs.replace(state, running=True), ()
        case MeasureChanged():
            excess = Excess(frozen=event.frozen)
            return Staleness(excess=excess, refusals=state.refusals, wait=state.wait, running=state.running), ()
        case WorldMoved():
            return msgspec.structs.replace(state, wait=0), ()
        case _:
            assert_never(event)


def period_of(at: datetime, policy: StalenessPolicy) -> int:
    """Number of the decision period that an event time falls into: whole periods since 1970."""
    return (at - _EPOCH) // policy.period


def measured(champion: Collection[float], challenger: Collection[float]) -> PeriodMeasured:
    """A period from the losses of both on its rows, in the same order. Rows on which either is no number are left out.

    Raises ValueError when they differ in length.

    >>> measured([1.0, 1.0, float("nan"), 1.0, 0.0], [0.0, 0.0, 1.0, 1.0, 0.0])
    PeriodMeasured(rows=4, difference=0.5, row_variance=0.25, offered=False)
    """
    if len(champion) != len(challenger):
        raise ValueError(
            f"both lose on the same rows: got {len(champion)} losses of the champion, {len(challenger)} of the other."
        )
    differences = [float(mine) - float(other) for mine, other in zip(champion, challenger, strict=True)]
    known = [difference for difference in differences if math.isfinite(difference)]
    if not known:
        return PeriodMeasured(rows=0, difference=0.0, row_variance=0.0)
    mean = math.fsum(known) / len(known)
    variance = math.fsum((difference - mean) ** 2 for difference in known) / len(known)
    return PeriodMeasured(rows=len(known), difference=mean, row_variance=variance)


def assess(state: Staleness, policy: StalenessPolicy, *, measured: bool = True, offered: bool = False) -> Assessment:
    """Does a training pay now, or serving the challenger frozen (if it is `offered`)? With the numbers, in errors, for the log."""
    rows = state.excess.usual_rows
    if rows == 0.0:
        return Assessment(option="", why="no labelled period yet", numbers={})
    price = policy.price_errors / rows
    life = _life(state)
    training = option("training", state.excess, life, price=price, noise_trainings=policy.noise_trainings)
    options = [training]
    if offered:
        cheap = price * policy.challenger_cost
        options.append(option("challenger", state.excess, life, price=cheap, noise_trainings=policy.noise_trainings))
    numbers = {
        "excess": training.excess,
        "excess_sd": state.last_sd,
        "guard_sd": training.guard_sd,
        "lost_errors": training.lost * rows,
        "ahead_errors": training.ahead * rows,
        "price_errors": told(policy.price_errors),
        "age_periods": float(state.age),
    }
    if offered:
        numbers |= {"challenger_excess": options[1].excess, "challenger_lost_errors": options[1].lost * rows}
    if not measured:
        return Assessment(
            option="", why="no labelled rows in this period: nothing is bought on a missing number", numbers=numbers
        )
    return _verdict(state, policy, options, numbers)


def _life(state: Staleness) -> Life:
    growth = max(state.growth, 0.0)
    gap = state.missed  # periods whose labels are still out: known growth goes on
    ahead_periods = gap + 1 if state.seen else state.age
    return Life(
        age=state.age,
        last=state.last,
        last_sd=state.last_sd,
        coming=state.last + growth * ahead_periods,
        lost=state.total + _lost_unseen(state),
    )


def _lost_unseen(state: Staleness) -> float:
    """What the newest periods cost, of which no labels are known: known growth goes on."""
    gap, growth = state.missed, max(state.growth, 0.0)
    return gap * state.last + growth * gap * (gap + (1 if state.seen else -1)) / 2.0


def _verdict(state: Staleness, policy: StalenessPolicy, options: list[Option], numbers: dict[str, float]) -> Assessment:
    paying = [one for one in options if one.pays]
    sure = [one for one in paying if one.sure]
    why, chosen = "", max(sure, key=lambda one: one.worth, default=None)
    if policy.trigger != "staleness":
        why = "staleness buys nothing under this policy"
    elif state.running:
        why = "a training is under way"
    elif not paying:
        why = "a training costs more than the staleness ahead"
    elif chosen is None:
        why = f"it would pay, but the excess is below {min(one.guard_sd for one in paying):.2g} sd of it"
    elif state.wait > 0:
        why = f"it would pay, but {state.refusals} refused in a row: waiting {state.wait} more periods"
    if why or chosen is None:
        return Assessment(option="", why=why, numbers=numbers)
    trains = any(one.name == "training" for one in sure)
    return Assessment(option=chosen.name, training_pays=trains, why=_WHY[chosen.name], numbers=numbers)


def _unmeasured(state: Staleness) -> Staleness:
    return msgspec.structs.replace(state, age=state.age + 1, missed=state.missed + 1, wait=max(state.wait - 1, 0))


def _measured(state: Staleness, event: PeriodMeasured) -> Staleness:
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
        missed=0,
        total=state.total + _lost_unseen(state) + present,
        last=present,
        last_sd=sd,
        growth=growth,
        wait=max(state.wait - 1, 0),
    )


def _account_reset(state: Staleness, *, frozen: bool) -> Staleness:
    # Replaced unseen: believe in the growth a little less, so that it is measured again.
    growth = state.growth if state.seen else 0.97 * state.growth
    return Staleness(excess=excess_filter.fresh_champion(state.excess, frozen=frozen), growth=growth)
