"""The cheapest schedule of all, known only afterwards: exact, by dynamic programming over what could have served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.healing.stream import Losses
from benchmarks.healing.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """The least cost, and the periods from whose begin on a new model then serves."""

    cost: float
    trainings: tuple[int, ...]
    swaps: tuple[int, ...]


def cheapest(table: Table, price: float, swap_price: float | None = None) -> Hindsight:
    """The schedule of least loss and prices; with a price of swaps, frozen challengers may serve too."""
    return cheapest_of(table.trained_sums, price, table.frozen_sums, swap_price)


def cheapest_of(trained: Losses, price: float, frozen: Losses | None = None, swap_price: float | None = None) -> Hindsight:
    """The same from period sums, [model, period]; a model's first period is its own number.

    >>> sums = np.array([[0.0, 5.0, 5.0], [np.nan, 1.0, 1.0], [np.nan, np.nan, 1.0]])
    >>> cheapest_of(sums, 3.0)
    Hindsight(cost=5.0, trainings=(1,), swaps=())
    """
    kinds = [(trained, price)]
    if frozen is not None and swap_price is not None:
        kinds.append((frozen, swap_price))
    periods = len(trained)
    # lost[kind][i, j]: model i from its begin to the begin of period j.
    lost = [np.pad(np.cumsum(np.triu(np.nan_to_num(sums)), axis=1), ((0, 0), (1, 0))) for sums, _ in kinds]
    reached = np.zeros(periods + 1)
    started = np.full((len(kinds), periods), np.inf)
    started[0, 0] = 0.0  # the first release is there
    before: list[tuple[int, int]] = [(0, 0)]
    for period in range(1, periods + 1):
        costs = np.stack([started[kind, :period] + lost[kind][:period, period] for kind in range(len(kinds))])
        kind, model = np.unravel_index(int(costs.argmin()), costs.shape)
        reached[period] = costs[kind, model]
        before.append((int(kind), int(model)))
        if period < periods:
            started[:, period] = [reached[period] + paid for _, paid in kinds]
    return Hindsight(cost=float(reached[-1]), trainings=_starts(before, 0), swaps=_starts(before, 1))


def _starts(before: list[tuple[int, int]], wanted: int) -> tuple[int, ...]:
    starts, period = [], len(before) - 1
    while period > 0:
        kind, period = before[period]
        if kind == wanted and period > 0:
            starts.append(period)
    return tuple(reversed(starts))
