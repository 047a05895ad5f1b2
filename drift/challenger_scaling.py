"""Location and spread of a challenger's features, as rows show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WILD_SHARE: Final = 0.01
"""Share of a column's values, at either end, that say nothing of its spread."""
MOVED: Final = 3.0
"""A column has left its place when its location is so many scales away,"""
STRETCHED: Final = 3.0
"""or its spread is so many times larger or smaller."""
FAR: Final = 10.0
"""So far away, in scales, or so many times larger or smaller, it is another thing: a change of unit, say."""
_CONSTANT: Final = 1e-6
"""A spread below this share of the value is rounding of 32-bit numbers."""
_LEAST: Final = 1e-30
_LARGEST: Final = 1e100
"""Beyond it, squares would not be finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Location and spread (> 0) of every column."""

    centre: Floats
    scale: Floats

    def moved_from(self, before: Scaling) -> NDArray[np.bool_]:
        """Which columns are no more where they were."""
        return self._beyond(before, MOVED, STRETCHED)

    def followed_by(self, newer: Scaling, share: float) -> Scaling:
        """That of these rows and newer ones, which are `share` of all; after a leap the newer ones alone count."""
        centre = self.centre + share * (newer.centre - self.centre)
        older = np.square(self.scale) + np.square(self.centre - centre)
        both = (1.0 - share) * older + share * (np.square(newer.scale) + np.square(newer.centre - centre))
        return newer.where(newer._beyond(self, FAR, FAR), Scaling(centre=centre, scale=np.sqrt(both)))

    def _beyond(self, before: Scaling, away: float, stretched: float) -> NDArray[np.bool_]:
        ratio = self.scale / before.scale
        beyond: NDArray[np.bool_] = (
            (np.abs(self.centre - before.centre) > away * before.scale) | (ratio > stretched) | (ratio < 1.0 / stretched)
        )
        return beyond

    def where(self, chosen: NDArray[np.bool_], other: Scaling) -> Scaling:
        """This for the chosen columns, the other for the rest."""
        return Scaling(centre=np.where(chosen, self.centre, other.centre), scale=np.where(chosen, self.scale, other.scale))


def told_scaling(centres: tuple[float, ...], scales: tuple[float, ...]) -> Scaling:
    """What somebody said before there were rows; 0 and 1 where that is no scaling."""
    centre, scale = np.array(centres, dtype=np.float64), np.array(scales, dtype=np.float64)
    sound = np.isfinite(centre) & np.isfinite(scale) & (scale > _LEAST)
    return Scaling(centre=np.where(sound, centre, 0.0), scale=np.where(sound, scale, 1.0))


def seen_scaling(columns: Floats, present: Scaling) -> Scaling:
    """Mean and standard deviation of each column, its wildest hundredths cut (NaN: no value).

    A constant column keeps its scale, an empty one its place as well.

    >>> rows = np.array([[1.0, 7.0, np.nan], [3.0, 7.0, np.nan]])
    >>> seen = seen_scaling(rows, told_scaling((0.0, 0.0, 5.0), (4.0, 4.0, 4.0)))
    >>> seen.centre.tolist(), seen.scale.tolist()
    ([2.0, 7.0, 5.0], [1.0, 4.0, 4.0])
    """
    known = np.isfinite(columns)
    count = known.sum(axis=0)
    some = np.maximum(count, 1)
    ordered = np.sort(np.where(known, np.clip(columns, -_LARGEST, _LARGEST), np.inf), axis=0)
    every = np.arange(columns.shape[1])
    wild = (count * WILD_SHARE).astype(np.int64)
    low, high = ordered[wild, every], ordered[np.maximum(count - 1 - wild, 0), every]
    low, high = np.where(count > 0, low, 0.0), np.where(count > 0, high, 0.0)
    cut = np.where(known, np.clip(columns, low, high), 0.0)
    centre = cut.sum(axis=0) / some
    spread = np.sqrt(np.where(known, np.square(cut - centre), 0.0).sum(axis=0) / some)
    # What differs in fewer than a hundredth of the rows has its spread among the wildest.
    whole = np.sqrt(np.where(known, np.square(np.clip(columns, -_LARGEST, _LARGEST) - centre), 0.0).sum(axis=0) / some)
    constant = np.maximum(_CONSTANT * np.abs(centre), _LEAST)
    spread = np.where(spread > constant, spread, whole)
    return Scaling(
        centre=np.where(count > 0, centre, present.centre),
        scale=np.where((count > 0) & (spread > constant), spread, present.scale),
    )
