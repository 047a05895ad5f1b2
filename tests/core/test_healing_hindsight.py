"""The cheapest schedule by dynamic programming, against all schedules there are."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.healing.action import Action
from benchmarks.healing.hindsight import cheapest, cheapest_of
from benchmarks.healing.replay import Past, replay
from tests.core.healing_tables import constant_world, table_of, turning_world

PERIODS = 6


def all_ways(trained: np.ndarray, frozen: np.ndarray | None, price: float, swap_price: float) -> float:
    """The least cost of every schedule, tried one by one."""
    choices = (None, 0) if frozen is None else (None, 0, 1)
    least = np.inf
    for schedule in product(choices, repeat=PERIODS - 1):
        sums, model, cost = trained, 0, 0.0
        for period in range(PERIODS):
            choice = schedule[period - 1] if period else None
            if choice is not None:
                sums, model = (trained, frozen)[choice], period
                cost += swap_price if choice else price
            assert sums is not None
            cost += float(sums[model, period])
        least = min(least, cost)
    return least


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("swaps", [False, True])
def test_it_is_the_least_of_all_schedules(seed: int, swaps: bool) -> None:
    rng = np.random.default_rng(seed)
    trained, frozen = rng.uniform(0.0, 10.0, (2, PERIODS, PERIODS))
    price, swap_price = rng.choice([0.0, 1.0, 5.0, 50.0], 2).tolist()
    found = cheapest_of(trained, price, frozen, swap_price if swaps else None)
    assert found.cost == pytest.approx(all_ways(trained, frozen if swaps else None, price, swap_price))
    if not swaps:
        assert found.swaps == ()


class Following:
    """Trains at the begins of these periods."""

    def __init__(self, starts: tuple[int, ...]) -> None:
        self.starts = starts

    def decide(self, past: Past) -> Action:
        return Action.TRAIN if past.period + 1 in self.starts else Action.KEEP


def test_its_schedule_replayed_costs_what_it_says() -> None:
    table = table_of(turning_world(periods=12, turn=4))
    found = cheapest(table, 3.0)
    assert found.trainings
    assert replay(table, Following(found.trainings), 3.0).cost == pytest.approx(found.cost)


def test_nothing_is_bought_where_nothing_changes_or_at_any_price() -> None:
    assert cheapest(table_of(constant_world(periods=12)), 3.0).trainings == ()
    assert cheapest(table_of(turning_world(periods=12, turn=4)), 1e6).trainings == ()
