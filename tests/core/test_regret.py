"""The best schedule known afterwards: against every schedule there is, and what a bound of it says."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from trainer.regret import NOBODY, Losses, hindsight, regret_bound, sums_by_period


def cost_of(schedule: tuple[int, ...], losses: Losses, prices: tuple[float, ...]) -> float:
    """What a schedule costs by definition."""
    lost = sum(losses[release, period] for period, release in enumerate(schedule))
    paid = sum(prices[after] for before, after in itertools.pairwise(schedule) if before != after)
    return float(lost + paid)


def cheapest(losses: Losses, born: tuple[int, ...], prices: tuple[float, ...]) -> float:
    """The cheapest of all schedules, one by one."""
    count, width = losses.shape
    allowed = [
        schedule
        for schedule in itertools.product(range(count), repeat=width)
        if all(period >= born[release] and not np.isnan(losses[release, period]) for period, release in enumerate(schedule))
    ]
    return min(cost_of(schedule, losses, prices) for schedule in allowed)


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_is_cheaper(seed: int) -> None:
    """Three releases, six periods, births, gaps, and prices from none to dear: the same as trying all 729."""
    generator = np.random.default_rng(seed)
    losses = generator.integers(0, 10, (3, 6)).astype(float)
    losses[1, generator.integers(6)] = np.nan
    born = (0, int(generator.integers(3)), int(generator.integers(6)))
    prices = (0.0, float(generator.choice([0.0, 2.0, 6.0])), float(generator.choice([0.0, 2.0, 6.0])))
    best = hindsight(losses, born, prices)
    assert best.cost == pytest.approx(cheapest(losses, born, prices))
    assert cost_of(best.releases, losses, prices) == pytest.approx(best.cost)


def test_nobody_serves_before_it_is_born() -> None:
    """However good it would have been."""
    losses = np.array([[5.0, 5.0, 5.0], [0.0, 0.0, 0.0]])
    assert hindsight(losses, (0, 2), (0.0, 1.0)).releases == (0, 0, 1)
    assert hindsight(losses, (0, 0), (0.0, 1.0)).releases == (1, 1, 1)


def test_a_period_that_nobody_can_be_scored_in_counts_for_nothing() -> None:
    """Between others the one before stays; before all others there is nobody."""
    losses = np.array([[np.nan, 1.0, np.nan, 1.0], [np.nan, np.nan, np.nan, 0.0]])
    best = hindsight(losses, (0, 0), (0.0, 0.5))
    assert (best.cost, best.releases, best.switches) == (1.5, (NOBODY, 0, 0, 1), 1)
    assert hindsight(np.full((2, 3), np.nan), (0, 0), (0.0, 0.0)).releases == (NOBODY,) * 3


def test_what_was_served_best_has_no_regret() -> None:
    """The control: the bound is 0 for the best schedule itself, and the price of a needless training for one that bought it."""
    losses = np.array([[1.0, 1.0, 1.0], [np.nan, 2.0, 2.0]])
    assert regret_bound(losses[0], 0.0, losses=losses, born=(0, 1), prices=(0.0, 5.0)).errors == 0.0
    bought = regret_bound(np.array([1.0, 2.0, 2.0]), 5.0, losses=losses, born=(0, 1), prices=(0.0, 5.0))
    assert (bought.errors, bought.periods, bought.best.releases) == (7.0, 3, (0, 0, 0))


def test_both_sides_are_measured_on_the_same_periods() -> None:
    """What was served is not known in the second, and only a release that is not born yet could be scored in the third."""
    losses = np.array([[4.0, 4.0, np.nan, 4.0], [np.nan, 1.0, 1.0, 1.0]])
    bound = regret_bound(np.array([4.0, np.nan, 9.0, 4.0]), 0.0, losses=losses, born=(0, 3), prices=(0.0, 0.0))
    assert (bound.errors, bound.served, bound.periods) == (3.0, 8.0, 2)


def test_a_release_that_misses_one_row_of_a_period_is_not_scored_in_it() -> None:
    """A sum over fewer rows would look like a smaller loss."""
    periods, sums = sums_by_period([3, 5, 5, 4], np.array([[1.0, 1.0, 1.0, 0.5], [0.0, np.nan, 0.0, 0.0]]))
    assert periods == (3, 4, 5)
    assert np.array_equal(sums, np.array([[1.0, 0.5, 2.0], [0.0, 0.0, np.nan]]), equal_nan=True)


@pytest.mark.parametrize(("born", "prices", "said"), [((0,), (0.0, 0.0), "for each of 2"), ((0, 0), (0.0, -1.0), ">= 0")])
def test_impossible_arguments_are_refused(born: tuple[int, ...], prices: tuple[float, ...], said: str) -> None:
    """What was seen and what is wanted."""
    with pytest.raises(ValueError, match=said):
        hindsight(np.zeros((2, 3)), born, prices)


def test_ten_releases_on_five_thousand_rows_cost_next_to_nothing() -> None:
    """Below a tenth of a second even with a period for every tenth row."""
    losses = np.random.default_rng(0).random((10, 5_000))
    start = time.process_time()
    periods, sums = sums_by_period(np.repeat(np.arange(500), 10).tolist(), losses)
    regret_bound(sums[0], 0.0, losses=sums, born=[0] * 10, prices=[0.0] * 10)
    assert len(periods) == 500
    assert time.process_time() - start < 0.1
