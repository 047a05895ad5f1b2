"""A labelled stream cut into decision periods, with what a policy may know and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["number", "category"]
Losses: TypeAlias = NDArray[np.float64]

NUMBER: Final[Kind] = "number"
CATEGORY: Final[Kind] = "category"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Rows in order of time. The first release learns rows [0, first_rows); whole periods follow, a rest is cut off."""

    name: str
    features: NDArray[np.float32]
    """Rows by columns. A category is an integer code; NaN is missing."""
    target: NDArray[np.float64]
    """Class index, or a number."""
    kinds: tuple[Kind, ...]
    """Per column."""
    classes: int
    """0: regression."""
    period_rows: int
    label_delay_rows: int
    """A row's label is known once so many more rows have come."""
    window_rows: int
    """Newest labelled rows that a training uses."""
    first_rows: int
    scale: float = 1.0
    """Regression: the error that loses 1."""

    def __post_init__(self) -> None:
        """Refuse a stream that has no whole period or whose parts do not fit."""
        if len(self.features) != len(self.target) or self.features.shape[1] != len(self.kinds):
            raise ValueError(
                f"{self.name}: {self.features.shape} features, {len(self.target)} targets, {len(self.kinds)} kinds; "
                "wanted a target for each row and a kind for each column."
            )
        if self.periods < 1:
            raise ValueError(
                f"{self.name}: {len(self.target)} rows hold no period of {self.period_rows} after {self.first_rows}."
            )

    @property
    def periods(self) -> int:
        """Whole decision periods after the first release's rows."""
        return (len(self.target) - self.first_rows) // self.period_rows

    @property
    def end(self) -> int:
        """One past the last row of the last whole period."""
        return self.first_rows + self.periods * self.period_rows

    def begin(self, period: int) -> int:
        """First row of a period; `begin(periods)` is `end`."""
        return self.first_rows + period * self.period_rows

    def known(self, row: int) -> int:
        """Rows before this one have labels when row `row` is about to come."""
        return max(row - self.label_delay_rows, self.first_rows)

    def window(self, period: int) -> tuple[int, int]:
        """Rows [from, to) that the model serving from the begin of `period` was trained on; 0 is the first release."""
        if period == 0:
            return 0, self.first_rows
        to = self.known(self.begin(period))
        return max(to - self.window_rows, 0), to

    def losses(self, predicted: Losses, actual: Losses) -> Losses:
        """Per row: wrong class, or |error| / scale cut at 1."""
        if self.classes:
            return np.where(predicted == actual, 0.0, 1.0)
        return np.asarray(np.minimum(np.abs(predicted - actual) / self.scale, 1.0))

    def shuffled(self, seed: int) -> Stream:
        """The same rows in random order: nothing changes any more."""
        order = np.random.default_rng(seed).permutation(len(self.target))
        return replace(self, name=f"{self.name}_shuffled_{seed}", features=self.features[order], target=self.target[order])

    def head(self, periods: int) -> Stream:
        """The first so many periods (all, when there are fewer)."""
        end = min(self.begin(periods), len(self.target))
        return replace(self, features=self.features[:end], target=self.target[:end])
