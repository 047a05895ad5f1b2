"""The shipped challenger over a stream's rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.healing.fits import Frozen
from benchmarks.healing.stream import Losses, Stream
from drift.challenger import fresh, losses_of, predict, predicted_then_learnt, warmed
from drift.challenger_encoding import Shape

PREDICTED_ROWS: Final = 4_096
"""At once: what it computes from a row is some hundred times as wide."""


class AlwaysLearning:
    """`drift.challenger`, warmed on the first release's rows, with the training window as its memory."""

    def __init__(self, stream: Stream, *, seed: int = 0) -> None:
        self._shape = Shape(kinds=stream.kinds, classes=stream.classes, target_scale=stream.scale)
        first = slice(0, stream.first_rows)
        unknowing = fresh(self._shape, float(stream.window_rows), seed)
        self._state = warmed(unknowing, stream.features[first], stream.target[first])

    def tested_then_learnt(self, features: NDArray[np.float32], target: Losses) -> Losses:
        """Row losses with what was known before these rows; then it knows them too."""
        self._state, losses = predicted_then_learnt(self._state, features, target)
        return losses

    def frozen(self) -> Frozen:
        """As it is now, without what only learning needs."""
        shape, none = self._shape, np.empty(0)
        state = replace(self._state, moments=none, products=none)

        def losses(features: NDArray[np.float32], target: Losses) -> Losses:
            parts = [slice(start, start + PREDICTED_ROWS) for start in range(0, len(target), PREDICTED_ROWS)]
            return np.concatenate([losses_of(shape, predict(state, features[part])[0], target[part]) for part in parts])

        return losses
