"""Gradient-boosted trees: a plain function from a matrix to a model file; it knows neither Ray nor the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its value where nobody sets it, its range, and how a search steps through it."""

    default: float
    low: float
    high: float
    whole: bool = False
    logarithmic: bool = False


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "rounds": Parameter(default=60, low=1, high=10_000, whole=True),
    "max_depth": Parameter(default=4, low=1, high=16, whole=True),
    "eta": Parameter(default=0.1, low=1e-4, high=1.0, logarithmic=True),
    "min_child_weight": Parameter(default=1.0, low=1e-3, high=1e4, logarithmic=True),
    "subsample": Parameter(default=1.0, low=0.05, high=1.0),
    "colsample_bytree": Parameter(default=1.0, low=0.05, high=1.0),
    "reg_lambda": Parameter(default=1.0, low=1e-6, high=1e4, logarithmic=True),
    "reg_alpha": Parameter(default=0.0, low=0.0, high=1e4),
    "gamma": Parameter(default=0.0, low=0.0, high=1e4),
    "max_bin": Parameter(default=256, low=2, high=4_096, whole=True),
}
"""All that may be set; `rounds` is the number of trees (per class)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where and how a fit runs. With one thread equal inputs give equal bytes."""

    seed: int
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the columns and the target are. `feature_types`: 'q' ordered, 'c' category; `classes` 0 is regression."""

    feature_types: Sequence[str]
    classes: int


class BadParameters(ValueError):
    """A parameter that the recipe does not have, or a value outside its range."""


def settled(parameters: Mapping[str, float]) -> dict[str, float]:
    """All parameters, with defaults where none is given. Raises BadParameters.

    >>> settled({"max_depth": 3})["max_depth"], settled({})["rounds"]
    (3, 60)
    """
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise BadParameters(
            f"the recipe 'xgboost' has no parameter {', '.join(unknown)}; it has {', '.join(sorted(PARAMETERS))}."
        )
    chosen: dict[str, float] = {}
    for name, parameter in PARAMETERS.items():
        value = parameters.get(name, parameter.default)
        if not parameter.low <= value <= parameter.high:
            raise BadParameters(f"{name} must be between {parameter.low:g} and {parameter.high:g}, got {value:g}.")
        chosen[name] = int(value) if parameter.whole else float(value)
    return chosen


def train(
    matrix: NDArray[np.float32], target: NDArray[np.float64], shape: Shape, parameters: Mapping[str, float], context: Context
) -> bytes:
    """Fit and return the model as UBJSON. NaN in the matrix is missing; targets are class indices or numbers."""
    import xgboost

    chosen = settled(parameters)
    rounds = int(chosen.pop("rounds"))
    options: dict[str, Any] = {
        **chosen,
        **_objective(shape.classes),
        "tree_method": "hist",
        "nthread": context.threads,
        "seed": context.seed % 2**31,
        "verbosity": 0,
    }
    data = xgboost.DMatrix(
        matrix,
        label=target,
        missing=np.nan,
        feature_types=list(shape.feature_types),
        enable_categorical=True,
        nthread=context.threads,
    )
    booster = xgboost.train(options, data, num_boost_round=rounds, verbose_eval=False)
    return bytes(booster.save_raw("ubj"))


def _objective(classes: int) -> dict[str, Any]:
    if not classes:
        return {"objective": "reg:squarederror"}
    if classes == 2:
        return {"objective": "binary:logistic"}
    return {"objective": "multi:softprob", "num_class": classes}
