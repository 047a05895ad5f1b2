"""Both sides of the guard on rows that are few, many in a period, far apart, or a sample."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from drift import staleness
from drift.staleness import PeriodMeasured, Staleness
from homeostat.challenger_ring import RING_ROWS
from homeostat.timed_losses import NoRows, TimedLosses, UsualPeriod
from homeostat.worth_replay import replayed
from streams.policy import StalenessPolicy

HOUR = timedelta(hours=1)
POLICY = StalenessPolicy(period=HOUR, retrain_cost="100 errors", noise_trainings=7.0)
PERIODS, A_PERIOD = 40, 200


def rows(seconds_apart: float, count: int) -> TimedLosses:
    """As good as each other, from the start of an hour on."""
    return TimedLosses(
        source="losses",
        at_us=(np.arange(count) * seconds_apart * 1e6).astype(np.int64),
        releases=("a",) * count,
        champion=np.zeros(count),
        challenger=np.zeros(count),
    )


def sampled(share: float) -> TimedLosses:
    """Of forty periods, in the second half of which the champion is worse than the challenger, every so many-th row."""
    random = np.random.default_rng(3)
    count = PERIODS * A_PERIOD
    worse = (np.arange(count) >= count // 2) & (random.random(count) < 0.25)
    champion = np.where(worse, 1.0, random.binomial(1, 0.2, count).astype(float))
    challenger = random.binomial(1, 0.2, count).astype(float)
    drawn = np.arange(0, count, round(1 / share))
    at_us = (drawn * (HOUR / A_PERIOD / timedelta(microseconds=1))).astype(np.int64)
    return TimedLosses(
        source="losses", at_us=at_us, releases=("a",) * len(drawn), champion=champion[drawn], challenger=challenger[drawn], share=share
    )  # fmt: skip


def test_a_ring_that_a_period_fills_says_that_no_more_is_kept() -> None:
    """It is no matter of waiting. Control: fewer rows are."""
    with pytest.raises(NoRows, match=r"no whole period of 1 hour .* its newest 20,000 \(20 seconds apart; no more are kept\)"):
        replayed(rows(0.001, RING_ROWS), POLICY)
    with pytest.raises(NoRows, match=r"its newest 50 \(49 seconds apart\)"):
        replayed(rows(1.0, 50), POLICY)
    with pytest.raises(NoRows, match=r"from 10 periods on .*; no more are kept"):
        replayed(rows(1.0, RING_ROWS), POLICY)


def test_empty_periods_are_counted() -> None:
    """One row in 72 hours: the rule knows one row a period, and 71 of 72 hours are none. Control: rows in each."""
    usual = rows(3 * 86_400.0, 100).usual_period(HOUR)
    assert usual is not None
    assert usual == UsualPeriod(rows=1, filled_ratio=pytest.approx(98 / (99 * 72 - 1)))
    assert rows(60.0, 600).usual_period(HOUR) == UsualPeriod(rows=60, filled_ratio=1.0)
    assert rows(86_400.0, 2).usual_period(HOUR) is None


def test_the_setting_in_force_is_among_those_compared() -> None:
    told = replayed(sampled(1.0), POLICY)
    assert [one.noise_trainings for one in told.trade] == [1.0, 3.0, 7.0, 10.0, 30.0, 100.0]
    assert told.noise == told.trade[2].noise


def test_a_sample_is_weighed_as_the_controller_weighs_it() -> None:
    """A drawn row stands for ten: the first training is bought in the same period, at the same staleness. Control: as if they were
    all, it is not."""
    drawn = sampled(0.1)
    state, bought, borne = Staleness(), None, 0.0
    differences = (drawn.champion - drawn.challenger).reshape(PERIODS, -1)
    for period, one in enumerate(differences, start=1):
        measured = PeriodMeasured(rows=A_PERIOD, difference=float(one.mean()), row_variance=float(one.var()) * 10)
        state, (assessment,) = staleness.advance(state, measured, POLICY)
        if assessment.buy:
            bought, borne = period, assessment.numbers["lost_errors"]
            break
    assert bought is not None
    seen = next(one for one in replayed(drawn, POLICY).trade if one.noise_trainings == POLICY.noise_trainings).in_order
    assert seen.waited_periods == bought
    assert seen.borne_errors == pytest.approx(borne)
    whole = TimedLosses(
        source="", at_us=drawn.at_us, releases=drawn.releases, champion=drawn.champion, challenger=drawn.challenger
    )
    other = next(one for one in replayed(whole, POLICY).trade if one.noise_trainings == POLICY.noise_trainings).in_order
    assert other != seen


def test_an_infinite_price_buys_nothing() -> None:
    told = replayed(sampled(0.1), StalenessPolicy(period=HOUR, retrain_cost="inf errors"))
    assert all(one.in_order.bought == 0 and one.noise.per_1000_periods == 0.0 for one in told.trade)
