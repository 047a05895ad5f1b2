"""How a model is fitted, and how a challenger is asked: what tables are made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.healing.stream import CATEGORY, Losses, Stream
from trainer.recipes.xgboost_trees import Context, Shape, train

Frozen: TypeAlias = Callable[[NDArray[np.float32], Losses], Losses]
"""Row losses of something that learns no more: (features, target)."""


class Challenger(Protocol):
    """An always-learning model, already warmed on the first release's rows."""

    def tested_then_learnt(self, features: NDArray[np.float32], target: Losses) -> Losses:
        """Row losses with what was known before these rows; then it knows them too."""

    def frozen(self) -> Frozen:
        """As it is now, learning nothing, whatever it learns later."""


NewChallenger: TypeAlias = Callable[[Stream], Challenger]
Predict: TypeAlias = Callable[[NDArray[np.float32]], Losses]
"""Class indices or numbers of rows."""
Fit: TypeAlias = Callable[[Stream, int, int], Predict]
"""A model of rows [from, to) of a stream."""


def recipe(seed: int = 0, parameters: Mapping[str, float] | None = None) -> Fit:
    """The shipped recipe on one thread, with its own parameters unless given."""

    def fit(stream: Stream, begin: int, end: int) -> Predict:
        types = ["c" if kind == CATEGORY else "q" for kind in stream.kinds]
        shape = Shape(feature_types=types, classes=stream.classes)
        raw = train(stream.features[begin:end], stream.target[begin:end], shape, parameters or {}, Context(seed=seed))
        return _predictor(raw, stream.classes)

    return fit


def _predictor(raw: bytes, classes: int) -> Predict:
    import xgboost

    booster: Any = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 1})

    def predict(rows: NDArray[np.float32]) -> Losses:
        scores = np.asarray(booster.inplace_predict(rows, validate_features=False), dtype=np.float64)
        if not classes:
            return scores
        return (scores > 0.5).astype(np.float64) if scores.ndim == 1 else scores.argmax(axis=1).astype(np.float64)

    return predict
