"""One stream at one price: what each policy costs there, all replayed over the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.healing.hindsight import cheapest
from benchmarks.healing.ours import ours
from benchmarks.healing.replay import RetrainingPolicy, replay
from benchmarks.healing.rivals import ALARMS, NEVER, SCHEDULES, SWAPPING_SCHEDULES
from benchmarks.healing.tables import Table
from streams.policy import StalenessPolicy

RHOS: Final = (0.25, 1.0, 4.0, 16.0)
"""Prices, in what a period loses when each is served by a model of its own."""
SWAP_SHARE: Final = StalenessPolicy().challenger_cost
"""Serving a frozen challenger costs this share of a training: ours and the swapping schedules pay it alike."""

OURS: Final = "ours"
TRAININGS_ONLY: Final = "ours_trainings_only"
VARIANTS: Final[Mapping[str, Callable[[float], RetrainingPolicy]]] = {
    OURS: ours,
    TRAININGS_ONLY: lambda price: ours(price, candidate=False),
    "ours_own_loss": lambda price: ours(price, reference=False),
    "ours_no_guard": lambda price: ours(price, noise_trainings=1e6),
}
SWAPPING: Final = frozenset({OURS, "ours_no_guard"})
"""Variants that may serve a frozen challenger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Costs by policy, in units of loss."""

    stream: str
    copy: int
    rho: float
    price: float
    ours: Mapping[str, float]
    trainings: Mapping[str, int]
    """Of ours, by variant."""
    swaps: Mapping[str, int]
    schedules: Mapping[str, float]
    swapping_schedules: Mapping[str, float]
    alarms: Mapping[str, float]
    always_learning: float
    """Loss of the running challenger, had it served by itself."""
    optimum: float
    optimum_with_swaps: float
    optimum_trainings: int

    @property
    def never(self) -> float:
        """What it costs to keep the first release."""
        return self.schedules[NEVER]


def cells(table: Table, name: str, copy: int, rhos: Iterable[float] = RHOS) -> list[Cell]:
    """A stream's cells, a price each."""
    # None of the rivals knows a price, so one replay of each serves all prices.
    schedules, swapping, alarms = (
        {rival: replay(table, new(table.stream)) for rival, new in rivals.items()}
        for rivals in (SCHEDULES, SWAPPING_SCHEDULES, ALARMS)
    )
    found = []
    for rho in rhos:
        price = rho * table.mean_loss_trained_every_period
        swap_price = SWAP_SHARE * price
        mine = {variant: replay(table, new(price)) for variant, new in VARIANTS.items()}
        best = cheapest(table, price)
        found.append(
            Cell(
                stream=name,
                copy=copy,
                rho=rho,
                price=price,
                ours={variant: outcome.cost_at(price, swap_price) for variant, outcome in mine.items()},
                trainings={variant: len(outcome.trainings) for variant, outcome in mine.items()},
                swaps={variant: len(outcome.swaps) for variant, outcome in mine.items()},
                schedules={rival: outcome.cost_at(price) for rival, outcome in schedules.items()},
                swapping_schedules={rival: outcome.cost_at(price, swap_price) for rival, outcome in swapping.items()},
                alarms={rival: outcome.cost_at(price) for rival, outcome in alarms.items()},
                always_learning=float(table.challenger_sums.sum()),
                optimum=best.cost,
                optimum_with_swaps=cheapest(table, price, swap_price).cost,
                optimum_trainings=len(best.trainings),
            )
        )
    return found
