"""From encoded rows (`streams.encoding`) to the challenger's regressors: intercept, bounded base columns, random cosines.

    base     numbers as (x - centre) / scale cut at +-CLIP, booleans as -1 or 1, categories as one of a few columns each,
             and a column per feature that says that the value is missing (a number is then at its centre)
    cosines  of random mixtures of the base: the part that is not linear (Rahimi and Recht 2007)

Where the base would be wider than BASE_LIMIT, its columns are added together with random signs (Weinberger et al. 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drift.challenger_scaling import Scaling, told_scaling
from streams.contract import BOOLEAN, CATEGORY, NUMBER, Contract
from streams.encoding import Matrix

COSINES: Final = 150
BASE_LIMIT: Final = 361
"""With the intercept and the cosines, at most 512 columns: the cost of a solve is bounded."""
MOST_CATEGORIES: Final = 32
FEWEST_CATEGORIES: Final = 4
CLIP: Final = 5.0
COSINE_HEIGHT: Final = 0.45
"""Cosines are shrunk against the base, so that the ridge prefers what is linear."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a challenger is told of its model. `classes` 0: a number, whose loss is |error| / `target_scale`, cut at 1."""

    kinds: tuple[str, ...]
    """Per feature number | category | boolean."""
    classes: int
    target_scale: float = 1.0
    centres: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    """Of numbers, until rows have told; empty: 0 and 1."""

    @staticmethod
    def of(contract: Contract) -> Shape:
        """The shape of that contract's rows."""
        return Shape(
            kinds=tuple(feature.kind for feature in contract.features),
            classes=len(contract.target.classes),
            target_scale=contract.target.scale,
            centres=tuple(feature.centre for feature in contract.features),
            scales=tuple(feature.scale for feature in contract.features),
        )

    @cached_property
    def plain(self) -> NDArray[np.int64]:
        """Places of the features that are one column each; they come first in the base."""
        return np.array([place for place, kind in enumerate(self.kinds) if kind != CATEGORY], dtype=np.int64)

    @cached_property
    def categories(self) -> NDArray[np.int64]:
        """Places of the features that are several columns each; they come next, and the columns of missing values last."""
        return np.array([place for place, kind in enumerate(self.kinds) if kind == CATEGORY], dtype=np.int64)

    @cached_property
    def numbers(self) -> NDArray[np.bool_]:
        """Which features are scaled by what rows show."""
        return np.array([kind == NUMBER for kind in self.kinds], dtype=bool)

    @cached_property
    def category_columns(self) -> int:
        """Columns of each categorical feature: its buckets are folded onto them."""
        room = BASE_LIMIT - len(self.plain) - len(self.kinds)
        return min(max(room // max(len(self.categories), 1), FEWEST_CATEGORIES), MOST_CATEGORIES)

    @cached_property
    def unfolded(self) -> int:
        """Columns of the base before any are added together."""
        return len(self.plain) + len(self.categories) * self.category_columns + len(self.kinds)

    @property
    def folded(self) -> bool:
        """Whether columns are added together."""
        return self.unfolded > BASE_LIMIT

    @property
    def width(self) -> int:
        """Regressors in all."""
        return 1 + min(self.unfolded, BASE_LIMIT) + COSINES

    @property
    def outputs(self) -> int:
        """Columns of the target."""
        return self.classes or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixtures:
    """The random numbers of one challenger."""

    fold: NDArray[np.float32]
    """Unfolded columns by base: 0, 1 or -1. Empty where nothing is folded."""
    weights: NDArray[np.float32]
    """Base by cosines."""
    phases: NDArray[np.float32]


def mixtures_of(shape: Shape, seed: int) -> Mixtures:
    """Drawn once; kept with the state, because a generator's stream may change between versions of numpy."""
    random = np.random.default_rng(seed)
    base = min(shape.unfolded, BASE_LIMIT)
    fold = np.zeros((shape.unfolded, base) if shape.folded else (0, 0), dtype=np.float32)
    if shape.folded:
        places = random.integers(0, base, shape.unfolded)
        fold[np.arange(shape.unfolded), places] = random.choice(np.array([-1.0, 1.0]), shape.unfolded)
    weights = random.normal(size=(base, COSINES)) / np.sqrt(max(len(shape.kinds), 1))
    return Mixtures(
        fold=fold,
        weights=weights.astype(np.float32),
        phases=random.uniform(0.0, 2.0 * np.pi, COSINES).astype(np.float32),
    )


def first_scaling(shape: Shape) -> Scaling:
    """Before there are rows: what the shape says of numbers; booleans become -1 and 1."""
    features = len(shape.kinds)
    told = told_scaling(shape.centres or (0.0,) * features, shape.scales or (1.0,) * features)
    boolean = np.array([kind == BOOLEAN for kind in shape.kinds], dtype=bool)
    half = np.full(features, 0.5)
    return Scaling(centre=half, scale=half).where(boolean, told)


def regressors(shape: Shape, scaling: Scaling, mixtures: Mixtures, matrix: Matrix) -> NDArray[np.float32]:
    """Intercept, base and cosines of rows, shape (rows, shape.width)."""
    made = np.empty((len(matrix), shape.width), dtype=np.float32)
    made[:, 0] = 1.0
    if shape.folded:
        base = np.clip(_unfolded(shape, scaling, matrix) @ mixtures.fold, -CLIP, CLIP)
    else:
        base = _unfolded(shape, scaling, matrix)
    made[:, 1:-COSINES] = base
    cosines = made[:, -COSINES:]
    np.cos(base @ mixtures.weights + mixtures.phases, out=cosines)
    cosines *= np.float32(COSINE_HEIGHT)
    return made


def _unfolded(shape: Shape, scaling: Scaling, matrix: Matrix) -> NDArray[np.float32]:
    rows, numbers = len(matrix), len(shape.plain)
    missing = ~np.isfinite(matrix)
    base = np.zeros((rows, shape.unfolded), dtype=np.float32)
    scaled = (matrix[:, shape.plain].astype(np.float64) - scaling.centre[shape.plain]) / scaling.scale[shape.plain]
    scaled[missing[:, shape.plain]] = 0.0
    base[:, :numbers] = np.clip(scaled, -CLIP, CLIP)
    if len(shape.categories):
        absent = missing[:, shape.categories]
        buckets = np.where(absent, 0.0, np.abs(matrix[:, shape.categories])).astype(np.float64)
        columns = np.mod(np.floor(buckets), shape.category_columns).astype(np.int64)
        places = numbers + np.arange(len(shape.categories)) * shape.category_columns + columns
        base[np.arange(rows)[:, None], places] = ~absent
    base[:, -len(shape.kinds) :] = missing
    return base
