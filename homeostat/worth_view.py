"""What a model's trainings cost and win, as its decisions tell it: decisions, policy and evidence in, figures out.

Pure. A figure that cannot be told is None, and `missing` says why; none is made up. Errors are units of loss.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from drift.options import AHEAD
from homeostat.won_view import Won, won
from streams.events import Control, Decided
from streams.policy import StalenessPolicy
from streams.price import parse_cost

MONTH: Final = timedelta(days=30)
LATELY: Final = timedelta(days=90)
"""Of event time: trainings bought in it say how many a month are."""
USUAL_PERIODS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a training costs. `money`: where the value of an error is known."""

    written: str
    errors: float
    money: float | None
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """A usual period of late: its labelled rows, and errors in it. `excess`: a row's, over a fresh champion, now."""

    periods: int
    rows: float
    errors: float
    excess: float
    excess_sd: float
    apart: float = 1.0
    """Periods that went by for each: more than 1 where some had no traffic, or no labels."""

    @property
    def stale_ratio(self) -> float:
        """By how much of its errors the champion is stale."""
        return self.excess * self.rows / self.errors if self.errors else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """What was bought and what it came to, in the stretch of event time that is looked at."""

    bought: int
    """Trainings, by the rule."""
    run: int
    """Trainings, also those that a person asked for."""
    wanted: int
    """Periods in which a frozen challenger was worth more than a training."""
    challengers: int
    """Frozen, and let in; also where a training was bought and this was tried first."""
    called_back: int
    """Releases that served before, let in instead of a training."""
    since: datetime
    until: datetime
    bought_a_month: float
    ahead_a_month: float | None
    """If staleness goes on growing as it has under this champion; None: it is not known to grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Borne:
    """Staleness so far, as the rule estimates it: the sum of the excess over a fresh champion."""

    champion_errors: float
    champion_periods: int
    registration_errors: float
    registration_periods: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """All that decisions and evidence say."""

    price: Price
    period: timedelta
    usual: Usual | None
    trainings: Trainings | None
    borne: Borne | None
    won: Won | None
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Period:
    number: int
    release: str
    rows: float
    loss: float
    excess: float | None
    excess_sd: float
    lost: float
    age: float


def price_of(policy: StalenessPolicy) -> Price:
    """The present price, in errors and in money.

    >>> price_of(StalenessPolicy(retrain_cost="3.50 EUR", error_value=0.05))
    Price(written='3.50 EUR', errors=70.0, money=3.5, currency='EUR')
    """
    unit = parse_cost(policy.retrain_cost).unit
    errors = policy.price_errors
    money = errors * policy.error_value if policy.error_value > 0.0 and math.isfinite(errors) else None
    return Price(written=policy.retrain_cost, errors=errors, money=money, currency="" if unit in {"errors", "seconds"} else unit)


def worth(
    decisions: Sequence[Decided], policy: StalenessPolicy, *, same_period_from: int = 0, bake: Iterable[Control] = ()
) -> Worth:
    """Fold the decisions on one model, oldest first.

    `same_period_from`: place of the first decision since which periods are as long as now; `bake`: the records that the
    decisions of `won_view.bake_of` were made on.
    """
    missing: dict[str, str] = {}
    every = _periods(decisions)
    lately = _periods(decisions[same_period_from:])
    usual = _usual(lately)
    if usual is None:
        missing["usual"] = "no period with labels was measured yet"
    trainings = _trainings(decisions[same_period_from:], lately, policy, usual)
    if trainings is None:
        missing["trainings"] = "fewer than two periods were measured: no time has gone by"
    elif trainings.ahead_a_month is None:
        missing["trainings_ahead"] = "staleness is not known to grow under this champion"
    borne = _borne(every)
    if borne is None:
        missing["borne"] = "no staleness was measured yet"
    measured = [(one.release, one.rows) for one in every]
    taken_over, why_not = won(decisions, bake, measured)
    if taken_over is None:
        missing["won"] = why_not
    return Worth(
        price=price_of(policy),
        period=policy.period,
        usual=usual,
        trainings=trainings,
        borne=borne,
        won=taken_over,
        missing=missing,
    )


def _periods(decisions: Sequence[Decided]) -> list[_Period]:
    return [
        _Period(
            number=int(one.numbers["period"]),
            release=one.release,
            rows=one.numbers.get("rows", 0.0),
            loss=one.numbers.get("loss", 0.0),
            excess=one.numbers.get("excess"),
            excess_sd=one.numbers.get("excess_sd", 0.0),
            lost=one.numbers.get("lost_errors", 0.0),
            age=one.numbers.get("age_periods", 0.0),
        )
        for one in decisions
        if one.kind == "StalenessMeasured" and "period" in one.numbers
    ]


def _usual(periods: Sequence[_Period]) -> Usual | None:
    measured = [one for one in periods if one.rows and one.excess is not None][-USUAL_PERIODS:]
    if not measured:
        return None
    now = measured[-1]
    assert now.excess is not None  # chosen above
    rows = math.fsum(one.rows for one in measured) / len(measured)
    errors = math.fsum(one.rows * one.loss for one in measured) / len(measured)
    apart = max((now.number - measured[0].number + 1) / len(measured), 1.0)
    return Usual(periods=len(measured), rows=rows, errors=errors, excess=now.excess, excess_sd=now.excess_sd, apart=apart)


def _trainings(
    decisions: Sequence[Decided], periods: Sequence[_Period], policy: StalenessPolicy, usual: Usual | None
) -> Trainings | None:
    if len(periods) < 2 or periods[-1].number <= periods[0].number:
        return None
    first = max(periods[0].number, periods[-1].number + 1 - max(LATELY // policy.period, 1))
    count, runs, number = Counter[str](), set[str](), periods[0].number
    for one in decisions:
        if one.kind == "StalenessMeasured":
            number = int(one.numbers.get("period", number))
        elif number >= first:
            count[one.kind] += 1
            if one.kind == "TrainingStarted":
                runs.add(one.run)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    since, until = epoch + first * policy.period, epoch + (periods[-1].number + 1) * policy.period
    ahead = _periods_to_next(periods[-1], policy.price_errors, usual)
    return Trainings(
        bought=count["TrainingBought"],
        run=len(runs),
        wanted=count["ChallengerWanted"],
        challengers=count["ChallengerFrozen"],
        called_back=count["Recalled"],
        since=since,
        until=until,
        bought_a_month=count["TrainingBought"] * (MONTH / (until - since)),
        ahead_a_month=MONTH / policy.period / (ahead * usual.apart) if ahead and usual else None,
    )


def _periods_to_next(now: _Period, price: float, usual: Usual | None) -> float | None:
    """A life of a champion whose excess grows by the same each period, until the rule buys: ahead = price at its end."""
    if usual is None or now.excess is None or not now.age or now.excess <= now.excess_sd or not usual.rows:
        return None
    slope = now.excess / now.age
    return max(math.sqrt(price / usual.rows / ((AHEAD - 0.5) * slope)), 1.0)


def _borne(periods: Sequence[_Period]) -> Borne | None:
    if not any(one.excess is not None for one in periods):
        return None
    # The sum starts anew with each champion, and where a run that was refused has sunk its price: then its age falls.
    ends = [
        (place, one)
        for place, one in enumerate(periods)
        if place + 1 == len(periods) or periods[place + 1].age <= one.age or periods[place + 1].release != one.release
    ]
    present = next((place for place in range(len(periods) - 1, -1, -1) if periods[place].release != periods[-1].release), -1)
    return Borne(
        champion_errors=math.fsum(one.lost for place, one in ends if place > present),
        champion_periods=len(periods) - present - 1,
        registration_errors=math.fsum(one.lost for _, one in ends),
        registration_periods=len(periods),
    )
