"""What a model and its challenger lost, row by row, with the time of each: what `worth` replays the staleness rule on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualPeriod:
    """Rows in the middle one of those with rows, and how many of all periods have some."""

    rows: int
    filled_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedLosses:
    """Rows in the order of their predictions. `challenger` is 0 everywhere where there is none."""

    source: str
    at_us: NDArray[np.int64]
    releases: tuple[str, ...]
    """The champion that answered each."""
    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]
    share: float = 1.0
    """Of the labelled rows, those that are here."""

    def usual_period(self, period: timedelta) -> UsualPeriod | None:
        """Of the periods between the first and the last, which may be cut; None: there is none with rows.

        A period without rows is none to the staleness rule, so that it counts for nothing but the ratio.
        """
        numbers, counts = np.unique(self.at_us // (period // timedelta(microseconds=1)), return_counts=True)
        if len(counts) < 3:
            return None
        between = int(numbers[-1] - numbers[0]) - 1
        return UsualPeriod(rows=int(np.median(counts[1:-1])), filled_ratio=(len(counts) - 2) / between)


class NoRows(Exception):
    """There are no rows to look at; the message says why."""
