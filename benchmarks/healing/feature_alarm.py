"""Retraining when features no longer look like the champion's training rows: two-sample Kolmogorov-Smirnov by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.healing.action import Action
from benchmarks.healing.replay import Past

LEVEL: Final = 0.01
NEWEST_PERIODS: Final = 3
"""Compared with the training rows."""


@dataclass(frozen=True, slots=True)
class FeatureAlarm:
    """A training when at least this share of the columns differ; 0: one is enough, at a level shared by all columns."""

    share: float

    def decide(self, past: Past) -> Action:
        """Compare the newest rows that this champion answered with its training rows."""
        stream = past.stream
        begin = past.now - NEWEST_PERIODS * stream.period_rows
        if begin < past.champion.since:
            return Action.KEEP
        trained_on = past.features(*stream.window(past.champion.model))
        newest = past.features(begin, past.now)
        columns = newest.shape[1]
        level = LEVEL if self.share else LEVEL / columns
        wanted = max(self.share * columns, 1.0)
        differing = sum(_differ(trained_on[:, column], newest[:, column], level) for column in range(columns))
        return Action.TRAIN if differing >= wanted else Action.KEEP


def _differ(before: NDArray[np.float32], after: NDArray[np.float32], level: float) -> bool:
    from scipy.stats import ks_2samp

    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    if not len(before) or not len(after):
        return False
    return bool(ks_2samp(before, after, method="asymp").pvalue < level)
