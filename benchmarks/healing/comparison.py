"""Ratios of costs over cells: ours to what someone could have set in advance, and to what is known only afterwards.

A stream's copies (seeds) share one weight, so each stream counts alike. Rivals are chosen on the very cells that they are then
compared in, which flatters them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.healing.cells import OURS, SWAPPING, Cell

Costs = Callable[[Cell], Mapping[str, float]]


def weighted(cells: Sequence[Cell], value: Callable[[Cell], float]) -> float:
    """The mean over streams of the mean over their copies and prices."""
    by_stream: dict[str, list[float]] = {}
    for cell in cells:
        by_stream.setdefault(cell.stream, []).append(value(cell))
    means = [sum(values) / len(values) for values in by_stream.values()]
    return sum(means) / len(means)


def best_single(cells: Sequence[Cell], costs: Costs) -> str:
    """The one rival that, set in advance for all these cells, costs least in the mean, as a share of never training."""
    return min(costs(cells[0]), key=lambda rival: weighted(cells, lambda cell: costs(cell)[rival] / cell.never))


def schedules(cell: Cell) -> Mapping[str, float]:
    """Costs of the schedules."""
    return cell.schedules


def swapping_schedules(cell: Cell) -> Mapping[str, float]:
    """Costs of the schedules of frozen challengers."""
    return cell.swapping_schedules


def alarms(cell: Cell) -> Mapping[str, float]:
    """Costs of the alarms."""
    return cell.alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The rivals that someone would have set in advance, had they known the mean over all these cells."""

    fixed: str
    fixed_by_price: Mapping[float, str]
    """For someone who knows the price in that unit."""
    swapping: str
    alarm: str


def chosen(cells: Sequence[Cell]) -> Chosen:
    """The best single rivals over all cells."""
    rhos = sorted({cell.rho for cell in cells})
    return Chosen(
        fixed=best_single(cells, schedules),
        fixed_by_price={rho: best_single([cell for cell in cells if cell.rho == rho], schedules) for rho in rhos},
        swapping=best_single(cells, swapping_schedules),
        alarm=best_single(cells, alarms),
    )


def ratios(cells: Sequence[Cell], rivals: Chosen, variant: str = OURS) -> dict[str, float]:
    """Mean cost of this variant over each rival's; below 1 is cheaper. The optimum is that of what the variant may do."""

    def over(rival: Callable[[Cell], float]) -> float:
        return round(weighted(cells, lambda cell: cell.ours[variant] / rival(cell)), 4)

    return {
        "cost_vs_never": over(lambda cell: cell.never),
        "cost_vs_best_fixed": over(lambda cell: cell.schedules[rivals.fixed]),
        "cost_vs_best_fixed_by_price": over(lambda cell: cell.schedules[rivals.fixed_by_price[cell.rho]]),
        "cost_vs_hindsight_schedule": over(lambda cell: min(cell.schedules.values())),
        "cost_vs_best_alarm": over(lambda cell: cell.alarms[rivals.alarm]),
        "cost_vs_best_alarm_per_cell": over(lambda cell: min(cell.alarms.values())),
        "cost_vs_hindsight_optimum": over(
            lambda cell: cell.optimum_with_swaps if variant in SWAPPING else cell.optimum,
        ),
        "cost_vs_hindsight_optimum_of_trainings": over(lambda cell: cell.optimum),
        "cost_vs_best_swapping_schedule": over(lambda cell: cell.swapping_schedules[rivals.swapping]),
        "cost_vs_hindsight_swapping_schedule": over(lambda cell: min(cell.swapping_schedules.values())),
        "cost_vs_always_learning": over(lambda cell: cell.always_learning),
    }


def told(cell: Cell) -> dict[str, float | str | int]:
    """A cell's figures, costs as shares of never training."""
    schedule, alarm = min(cell.schedules, key=cell.schedules.__getitem__), min(cell.alarms, key=cell.alarms.__getitem__)
    return {
        "stream": cell.stream,
        "copy": cell.copy,
        "rho": cell.rho,
        "price": round(cell.price, 3),
        "never": round(cell.never, 1),
        **{variant: round(cost / cell.never, 4) for variant, cost in cell.ours.items()},
        "trainings": cell.trainings[OURS],
        "swaps": cell.swaps[OURS],
        "always_learning": round(cell.always_learning / cell.never, 4),
        "best_fixed": schedule,
        "best_fixed_cost": round(cell.schedules[schedule] / cell.never, 4),
        "best_alarm": alarm,
        "best_alarm_cost": round(cell.alarms[alarm] / cell.never, 4),
        "optimum": round(cell.optimum / cell.never, 4),
        "optimum_trainings": cell.optimum_trainings,
    }
