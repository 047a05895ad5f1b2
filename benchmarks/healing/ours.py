"""The staleness rule of `drift/staleness.py` as a policy of the replay."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmarks.healing.action import Action
from benchmarks.healing.replay import Past
from drift.staleness import ChampionReplaced, PeriodMeasured, Staleness, advance, measured
from streams.policy import StalenessPolicy


@dataclass(slots=True, kw_only=True)
class Ours:
    """Buys a training when the champion's measured excess is worth the price. No gate, no canary: what is bought serves.

    A period is taken in when its labels are complete; a predecessor's late labels are not the champion's, and left out.
    """

    policy: StalenessPolicy
    reference: bool = True
    """Measure against the challenger; without, the champion's own loss."""
    candidate: bool = True
    """The challenger, frozen, may be served instead of a training."""
    state: Staleness = field(default_factory=Staleness)
    taken_in: int = 0
    """Periods before this one were looked at."""

    def decide(self, past: Past) -> Action:
        """Take in what became known, and buy or not."""
        option = ""
        pending = range(max(self.taken_in, past.champion_period), past.complete)
        for period in pending:
            self.state, (assessment,) = advance(self.state, self._measured(past, period), self.policy)
            option = assessment.option
        self.taken_in = past.complete
        if not option:
            return Action.KEEP
        swaps = option == "challenger"
        self.state, _ = advance(self.state, ChampionReplaced(frozen=swaps), self.policy)
        return Action.SWAP if swaps else Action.TRAIN

    def _measured(self, past: Past, period: int) -> PeriodMeasured:
        if self.reference:
            losses = past.period_losses(period)
            return PeriodMeasured(
                rows=losses.rows, difference=losses.difference, row_variance=losses.row_variance, offered=self.candidate
            )
        rows = past.champion_losses(past.stream.begin(period), past.stream.begin(period + 1))
        return measured(rows, np.zeros(len(rows)))


def ours(price: float, *, noise_trainings: float | None = None, reference: bool = True, candidate: bool = True) -> Ours:
    """Told the price in units of loss; the guard is the policy's own unless said otherwise."""
    policy = StalenessPolicy(retrain_cost=f"{price:.9f} errors")
    if noise_trainings is not None:
        policy = StalenessPolicy(retrain_cost=f"{price:.9f} errors", noise_trainings=noise_trainings)
    return Ours(policy=policy, reference=reference, candidate=candidate)
