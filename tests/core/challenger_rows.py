"""Rows whose concept is known, for tests of the challenger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.challenger import Challenger, Shape, fresh, predicted_then_learnt, warmed
from streams.encoding import Matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Encoded features and target of equal length."""

    matrix: Matrix
    target: Floats

    def shuffled_labels(self, seed: int) -> Rows:
        """The same labels on other rows: nothing to learn."""
        return Rows(self.matrix, np.random.default_rng(seed).permutation(self.target))


def normal(rows: int, features: int, seed: int) -> Matrix:
    """Independent standard normal features."""
    return np.random.default_rng(seed).normal(size=(rows, features)).astype(np.float32)


def linear(rows: int, seed: int = 0, sign: float = 1.0) -> Rows:
    """Class 1 where the first two of four features add up to more than 0 (or less)."""
    matrix = normal(rows, 4, seed)
    return Rows(matrix, (sign * (matrix[:, 0] + matrix[:, 1]) > 0).astype(np.float64))


def ring(rows: int, seed: int = 0) -> Rows:
    """Class 1 outside a circle: no line tells it."""
    matrix = normal(rows, 2, seed)
    return Rows(matrix, (np.square(matrix).sum(axis=1) > 1.4).astype(np.float64))


def numbers(features: int, classes: int = 2, target_scale: float = 1.0) -> Shape:
    """A shape of numbers only."""
    return Shape(kinds=("number",) * features, classes=classes, target_scale=target_scale)


def lost(shape: Shape, rows: Rows, memory_rows: float = 1_000, warm: int = 200, batch: int = 48) -> tuple[Challenger, Floats]:
    """The challenger after all rows, and its losses on those after the first `warm`, learnt batch by batch."""
    state = warmed(fresh(shape, memory_rows), rows.matrix[:warm], rows.target[:warm])
    losses = []
    for start in range(warm, len(rows.target), batch):
        part = slice(start, start + batch)
        state, some = predicted_then_learnt(state, rows.matrix[part], rows.target[part])
        losses.append(some)
    return state, np.concatenate(losses)
