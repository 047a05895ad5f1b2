"""Ratios of costs: how rivals are chosen, and that every stream counts alike."""

from __future__ import annotations

import pytest

from benchmarks.healing.cells import OURS, TRAININGS_ONLY, VARIANTS, Cell, cells
from benchmarks.healing.comparison import chosen, ratios, told, weighted
from benchmarks.healing.null_copies import null_runs
from benchmarks.healing.ours import ours
from tests.core.healing_tables import constant_world, last_labels, majority_fit, table_of, turning_world


def cell(stream: str, rho: float, *, mine: float, never: float, often: float, seldom: float, copy: int = 0) -> Cell:
    return Cell(
        stream=stream,
        copy=copy,
        rho=rho,
        price=rho,
        ours=dict.fromkeys(VARIANTS, mine),
        trainings=dict.fromkeys(VARIANTS, 1),
        swaps=dict.fromkeys(VARIANTS, 0),
        schedules={"never": never, "every_1": often, "every_9": seldom},
        swapping_schedules={"swap_every_1": often},
        always_learning=seldom,
        alarms={"loud": often, "deaf": never},
        optimum=mine / 2,
        optimum_with_swaps=mine / 4,
        optimum_trainings=1,
    )


TWO_PRICES = [
    cell("calm", 1.0, mine=80.0, never=100.0, often=70.0, seldom=90.0),
    cell("calm", 9.0, mine=95.0, never=100.0, often=400.0, seldom=110.0),
]


def test_the_rival_is_one_for_all_cells_the_best_of_hindsight_is_not() -> None:
    rivals = chosen(TWO_PRICES)
    assert (rivals.fixed, rivals.alarm, dict(rivals.fixed_by_price)) == ("never", "deaf", {1.0: "every_1", 9.0: "never"})
    figures = ratios(TWO_PRICES, rivals)
    assert figures["cost_vs_best_fixed"] == pytest.approx((0.8 + 0.95) / 2)
    assert figures["cost_vs_hindsight_schedule"] == pytest.approx((80 / 70 + 0.95) / 2, abs=1e-4)
    # Ours may serve frozen challengers, and is held against the optimum of who may.
    assert figures["cost_vs_hindsight_optimum"] == 4.0
    assert ratios(TWO_PRICES, rivals, TRAININGS_ONLY)["cost_vs_hindsight_optimum"] == 2.0


def test_every_stream_counts_alike_however_many_copies_it_has() -> None:
    several = [cell("many", 1.0, mine=1.0, never=1.0, often=1.0, seldom=1.0, copy=copy) for copy in range(5)]
    one = [cell("one", 1.0, mine=3.0, never=1.0, often=1.0, seldom=1.0)]
    assert weighted(several + one, lambda each: each.ours[OURS]) == 2.0


def test_cells_of_a_table_hold_every_rival_and_no_cost_below_the_optimum() -> None:
    found = cells(table_of(turning_world(periods=30, turn=12)), "turning", 0)
    assert [one.rho for one in found] == sorted(one.rho for one in found)
    for one in found:
        trained = [*one.schedules.values(), *one.alarms.values(), one.ours[TRAININGS_ONLY]]
        assert min(trained) >= one.optimum - 1e-9
        assert min(*one.swapping_schedules.values(), one.ours[OURS]) >= one.optimum_with_swaps - 1e-9
        assert one.optimum_with_swaps <= one.optimum + 1e-9
        assert told(one)["stream"] == "turning"


def test_null_copies_count_the_trainings_of_each_price() -> None:
    runs = null_runs(constant_world(periods=20), 3, 0, challenger=last_labels, fit=majority_fit, policy=ours)
    assert all(len(trainings) == 3 for trainings in runs.trainings.values())
    assert runs.rate(runs.trainings[16.0]) == 0.0
