"""What our policy buys where nothing changes: streams whose rows were put in random order before anything was fitted.

In such a copy any two models of equally many rows are alike but for the luck of their fit, so no training is worth a price; each
that is bought is noise. All rows are shuffled, the first release's too. Fits are made on demand: few are bought.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.healing.action import Action
from benchmarks.healing.cells import RHOS
from benchmarks.healing.fits import Fit, NewChallenger
from benchmarks.healing.on_demand import FittedOnDemand
from benchmarks.healing.replay import Outcome, RetrainingPolicy, replay
from benchmarks.healing.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class NullRuns:
    """What was bought in each copy, by price."""

    stream: str
    periods: int
    trainings: dict[float, tuple[int, ...]]
    swaps: dict[float, tuple[int, ...]]

    def rate(self, counts: tuple[int, ...]) -> float:
        """In 1,000 periods."""
        return 1_000.0 * statistics.fmean(counts) / self.periods


def null_runs(
    stream: Stream, copies: int, seed: int, *, challenger: NewChallenger, fit: Fit, policy: Callable[[float], RetrainingPolicy]
) -> NullRuns:
    """Our policy on shuffled copies. The unit of prices is the first release's loss a period: every model is like it."""
    outcomes: dict[float, list[Outcome]] = {rho: [] for rho in RHOS}
    for copy in range(copies):
        servers = FittedOnDemand(stream.shuffled(seed + copy), challenger, fit)
        unit = float(servers.sums(Action.TRAIN, 0).mean())
        for rho in RHOS:
            outcomes[rho].append(replay(servers, policy(rho * unit)))
    return NullRuns(
        stream=stream.name,
        periods=stream.periods,
        trainings={rho: tuple(len(outcome.trainings) for outcome in those) for rho, those in outcomes.items()},
        swaps={rho: tuple(len(outcome.swaps) for outcome in those) for rho, those in outcomes.items()},
    )
