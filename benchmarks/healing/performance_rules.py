"""Retraining when the champion's loss of a period passes a bar: fixed, above the recent mean, or a quantile of the past.

The rules of Modyn's performance triggers (Böther et al. 2025), restated; the history goes on over trainings, and only a period
that the champion served by itself can pass the bar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from benchmarks.healing.action import Action
from benchmarks.healing.replay import Past

MARGIN: Final = 0.05
"""Loss a row."""
FIRST_PERIODS: Final = 5
RECENT_PERIODS: Final = 10
QUANTILE: Final = 0.95
QUANTILE_PERIODS: Final = 30

Bar: TypeAlias = Callable[[Sequence[float]], float]
"""From the mean losses of earlier periods, at least FIRST_PERIODS of them."""


@dataclass(slots=True)
class PerformanceRule:
    """A training when the newest complete period lost more than the bar."""

    bar: Bar
    history: list[float] = field(default_factory=list, init=False)

    def decide(self, past: Past) -> Action:
        """Judge each period that became complete."""
        passed = False
        for period in range(len(self.history), past.complete):
            losses = past.period_losses(period)
            loss = losses.champion / losses.rows
            judged = period >= past.champion_period and len(self.history) >= FIRST_PERIODS
            passed |= judged and loss > self.bar(self.history)
            self.history.append(loss)
        return Action.TRAIN if passed else Action.KEEP


def above_start(history: Sequence[float]) -> float:
    """Fixed: what the first release lost at its start, and a margin."""
    return float(np.mean(history[:FIRST_PERIODS])) + MARGIN


def above_recent(history: Sequence[float]) -> float:
    """The mean of the last periods, and a margin."""
    return float(np.mean(history[-RECENT_PERIODS:])) + MARGIN


def above_quantile(history: Sequence[float]) -> float:
    """What few of the last periods lost."""
    return float(np.quantile(history[-QUANTILE_PERIODS:], QUANTILE))
