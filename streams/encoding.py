"""From rows as served to the matrix a model sees: one place, so that training and serving cannot differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.contract import CATEGORY, NUMBER, Contract, FeatureContract, bin_of
from streams.events import Scalar

Matrix: TypeAlias = NDArray[np.float32]
_NAN = math.nan
_LARGEST = float(np.finfo(np.float32).max)


def encode_value(feature: FeatureContract, value: Scalar) -> float:
    """One value as a number; NaN where it is missing or not of the contract's kind (the row is flagged elsewhere).

    >>> encode_value(FeatureContract(name="x", kind="number"), 2), encode_value(FeatureContract(name="x", kind="number"), "2")
    (2.0, nan)
    >>> encode_value(FeatureContract(name="open", kind="boolean"), True)
    1.0
    """
    if value is None:
        return _NAN
    if feature.kind == NUMBER:
        if isinstance(value, (str, bool)):
            return _NAN
        return float(value) if -_LARGEST <= value <= _LARGEST else _NAN
    if feature.kind == CATEGORY:
        return float(bin_of(feature, value)) if isinstance(value, str) else _NAN
    return float(value) if isinstance(value, bool) or value in (0, 1) else _NAN


def encode_rows(contract: Contract, rows: Sequence[Mapping[str, Scalar]]) -> Matrix:
    """Rows in the contract's feature order, shape (rows, features); an absent feature is missing.

    >>> from streams.contract import TargetContract
    >>> c = Contract(
    ...     model="m",
    ...     features=(FeatureContract(name="a", kind="number"), FeatureContract(name="b", kind="boolean")),
    ...     target=TargetContract(name="y", task="regression"),
    ... )
    >>> encode_rows(c, [{"b": True, "a": 1.5}, {}]).tolist()
    [[1.5, 1.0], [nan, nan]]
    """
    features = [(feature, feature.name, feature.kind == NUMBER) for feature in contract.features]
    values: list[float] = []
    for row in rows:
        for feature, name, number in features:
            value = row.get(name)
            # Nearly every value of nearly every request takes this branch.
            if number and type(value) is float and -_LARGEST <= value <= _LARGEST:
                values.append(value)
            else:
                values.append(encode_value(feature, value))
    return np.array(values, dtype=np.float32).reshape(len(rows), len(features))


def encode_columns(contract: Contract, columns: Mapping[str, Sequence[Scalar]]) -> Matrix:
    """Columns of equal length, as `encode_rows` would encode their rows."""
    encoded = [[encode_value(feature, value) for value in columns[feature.name]] for feature in contract.features]
    return np.ascontiguousarray(np.array(encoded, dtype=np.float32).T)


def feature_types(contract: Contract) -> list[str]:
    """Per feature how a tree may split it: 'c' by sets of categories, 'q' by order."""
    return ["c" if feature.kind == CATEGORY else "q" for feature in contract.features]
