"""What was lost by serving as was served, against the best schedule of the releases that existed, known afterwards.

A bound, not the regret: only releases that exist are weighed, so a training that nobody bought may have done better still. And
hindsight picks noise, too: among releases that are equally good, it finds one that was luckier on these very rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]

NOBODY: Final = -1
"""In a schedule: nothing could be scored yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Who would have served best: the losses and prices together, and the release (its row, or NOBODY) of each period."""

    cost: float
    releases: tuple[int, ...]

    @property
    def switches(self) -> int:
        """How often another release takes over."""
        served = [release for release in self.releases if release != NOBODY]
        return sum(before != after for before, after in pairwise(served))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretBound:
    """Errors (units of loss, prices among them) that the best schedule of existing releases would have spared."""

    errors: float
    served: float
    periods: int
    """That count: those in which what was served and at least one release could be scored."""
    best: Schedule


def sums_by_period(periods: Sequence[int], losses: Losses) -> tuple[tuple[int, ...], Losses]:
    """Losses (releases x rows) added up by the period of each row: the periods in order, and releases x periods.

    A release that cannot be scored on one row of a period (NaN) cannot be scored in it: a sum over fewer rows would flatter it.

    >>> sums_by_period([7, 7, 9], np.array([[1.0, 0.0, 1.0], [np.nan, 0.0, 0.5]]))[1].tolist()
    [[1.0, 1.0], [nan, 0.5]]
    """
    numbers, places = np.unique(np.asarray(periods, dtype=np.int64), return_inverse=True)
    sums = np.zeros((len(losses), len(numbers)))
    np.add.at(sums.T, places, losses.T)
    return tuple(numbers.tolist()), sums


def hindsight(losses: Losses, born: Sequence[int], prices: Sequence[float]) -> Schedule:
    """The schedule that costs least, by dynamic programming over the periods.

    `losses`: sum of the losses of each release (row) in each period (column), NaN where it cannot be scored and so may not serve.
    `born`: the first period (column) that each can serve in. `prices`: what it costs to switch to it: of a training, or 0 for one
    that is called back or was there anyhow; who serves first costs nothing. A release left and taken again is paid for again, so
    that the best schedule is, if anything, cheaper. A period in which nobody can be scored counts for nothing. Infinite prices may
    leave no schedule at all: its cost is then infinite.

    >>> losses = np.array([[1.0, 1.0, 8.0, 9.0], [np.nan, np.nan, 9.0, 1.0]])
    >>> hindsight(losses, born=(0, 2), prices=(0.0, 5.0))
    Schedule(cost=16.0, releases=(0, 0, 0, 1))
    >>> hindsight(losses, born=(0, 2), prices=(0.0, 8.5)).releases
    (0, 0, 0, 0)
    """
    count, width = losses.shape
    if not (len(born) == len(prices) == count):
        raise ValueError(f"born and prices must have one number for each of {count} releases, got {len(born)} and {len(prices)}.")
    asked = np.asarray(prices, dtype=np.float64)
    if not (asked >= 0.0).all():
        raise ValueError(f"prices must be >= 0, got {list(prices)}.")
    possible = _possible(losses, born)
    scored = np.flatnonzero(possible.any(axis=0))
    if not len(scored):
        return Schedule(cost=0.0, releases=(NOBODY,) * width)
    stays = np.arange(count)
    costs = np.zeros(count)
    # Nobody served before the first period, so that nobody has to be switched from.
    comes_from: list[NDArray[np.intp]] = []
    for step, column in enumerate(scored):
        if step:
            cheapest = int(costs.argmin())
            switched = costs[cheapest] + asked
            switches = switched < costs
            comes_from.append(np.where(switches, cheapest, stays))
            costs = np.where(switches, switched, costs)
        costs = costs + np.where(possible[:, column], losses[:, column], np.inf)
    last = int(costs.argmin())
    served = [last]
    for origins in reversed(comes_from):
        served.append(int(origins[served[-1]]))
    return Schedule(cost=float(costs[last]), releases=_spread(served[::-1], scored.tolist(), width))


def regret_bound(served: Losses, paid: float, *, losses: Losses, born: Sequence[int], prices: Sequence[float]) -> RegretBound:
    """What was served (loss by period, NaN where it is not known) and paid for trainings, against `hindsight` on those periods.

    Never below 0 while what was served is among the releases, and paid for as `prices` say.

    >>> losses = np.array([[1.0, 9.0, 9.0], [np.nan, 2.0, 2.0]])
    >>> regret_bound(losses[0], 0.0, losses=losses, born=(0, 1), prices=(0.0, 10.0)).errors
    4.0
    """
    counts = ~np.isnan(served) & _possible(losses, born).any(axis=0)
    best = hindsight(np.where(counts, losses, np.nan), born, prices)
    total = float(served[counts].sum()) + paid
    return RegretBound(errors=total - best.cost, served=total, periods=int(counts.sum()), best=best)


def _possible(losses: Losses, born: Sequence[int]) -> NDArray[np.bool_]:
    """Which release may serve in which period."""
    return ~np.isnan(losses) & (np.arange(losses.shape[1]) >= np.asarray(born, dtype=np.int64)[:, None])


def _spread(served: Sequence[int], columns: Sequence[int], width: int) -> tuple[int, ...]:
    """By period: in one that counts for nothing nobody takes over."""
    releases = np.full(width, NOBODY)
    for release, start in zip(served, columns, strict=True):
        releases[start:] = release
    return tuple(releases.tolist())
