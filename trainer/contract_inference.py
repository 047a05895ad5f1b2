"""The contract of a new model, from the rows it is registered with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.contract import BOOLEAN, CATEGORY, NUMBER, Contract, FeatureContract, TargetContract, class_name
from streams.events import Scalar

IQR_OF_NORMAL: Final = 1.349
"""Interquartile range of a normal distribution in standard deviations."""
TINY: Final = 1e-6
"""Scale of a constant feature, against its size: small, so that any move shows."""
RANGE_SPREADS: Final = 20.0
"""The plausible range reaches so many spreads (largest - smallest) beyond what was seen: only other units lie outside."""
MOST_CLASSES: Final = 200
_LARGEST: Final = float(np.finfo(np.float32).max)


class BadTable(ValueError):
    """The table cannot be a model's first rows; the message says why and what to do."""


def infer_contract(model: str, table: Mapping[str, Sequence[Scalar]], target: str, task: str) -> Contract:
    """Kinds, centres, scales and ranges of every column but the target, in the table's order. Raises BadTable."""
    if target not in table:
        raise BadTable(f"the table has no column {target!r}; it has {', '.join(table)}. Name the target's column.")
    if len(table) < 2:
        raise BadTable(f"the table has only the target {target!r}: at least one feature is needed.")
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        raise BadTable(f"columns differ in length: {lengths}.")
    features = tuple(_feature(name, values) for name, values in table.items() if name != target)
    return Contract(model=model, features=features, target=_target(target, table[target], task))


def _feature(name: str, values: Sequence[Scalar]) -> FeatureContract:
    present = [value for value in values if not _missing(value)]
    if not present:
        raise BadTable(f"feature {name!r} has no value in any of {len(values)} rows: leave the column out.")
    if all(isinstance(value, bool) for value in present):
        return FeatureContract(name=name, kind=BOOLEAN)
    if all(isinstance(value, str) for value in present):
        return FeatureContract(name=name, kind=CATEGORY)
    odd = next((value for value in present if isinstance(value, (str, bool))), None)
    if odd is not None:
        raise BadTable(f"feature {name!r} mixes numbers and {type(odd).__name__} (such as {odd!r}): make it one kind.")
    return _number(name, np.array(present, dtype=np.float64))


def _number(name: str, values: NDArray[np.float64]) -> FeatureContract:
    if not (np.abs(values) <= _LARGEST).all():
        raise BadTable(f"feature {name!r} has values that are infinite or beyond 3e38: mend or drop those rows.")
    centre, smallest, largest = float(np.median(values)), float(values.min()), float(values.max())
    spread = largest - smallest
    if spread == 0.0:
        return FeatureContract(name=name, kind=NUMBER, centre=centre, scale=TINY * max(abs(centre), 1.0))
    return FeatureContract(
        name=name,
        kind=NUMBER,
        centre=centre,
        scale=_scale(values),
        low=smallest - RANGE_SPREADS * spread,
        high=largest + RANGE_SPREADS * spread,
    )


def _scale(values: NDArray[np.float64]) -> float:
    """A robust standard deviation; the plain one where half of the values are equal."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) / IQR_OF_NORMAL or float(values.std())


def _target(name: str, values: Sequence[Scalar], task: str) -> TargetContract:
    missing = sum(map(_missing, values))
    if missing:
        raise BadTable(
            f"the target {name!r} is missing in {missing} of {len(values)} rows: drop them, there is nothing to learn there."
        )
    if task == "classification":
        classes = tuple(sorted({class_name(value) for value in values}))
        if len(classes) < 2:
            raise BadTable(f"the target {name!r} has one class, {', '.join(classes) or 'none'}: at least two are needed.")
        if len(classes) > MOST_CLASSES:
            raise BadTable(
                f"the target {name!r} has {len(classes)} classes, at most {MOST_CLASSES} are supported: is it a number to predict (regression)?"
            )
        return TargetContract(name=name, task="classification", classes=classes)
    if task != "regression":
        raise BadTable(f"task must be 'classification' or 'regression', got {task!r}.")
    if any(isinstance(value, (str, bool)) for value in values):
        raise BadTable(f"the target {name!r} has values that are not numbers: use the task 'classification'.")
    numbers = np.array(values, dtype=np.float64)
    low, high = np.quantile(numbers, [0.1, 0.9])
    scale = float(high - low) or float(numbers.std())
    if not np.isfinite(numbers).all() or scale == 0.0:
        raise BadTable(f"the target {name!r} is constant or not finite: there is nothing to learn.")
    return TargetContract(name=name, task="regression", scale=scale)


def _missing(value: Scalar) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
