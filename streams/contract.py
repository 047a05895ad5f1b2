"""What a model's rows look like: features, target, and the fixed grid on which they are counted.

The grid is linear near the centre and logarithmic far from it (asinh), both signs, unbounded: it does not depend on
what the data happened to look like at registration, so a constant that wakes up, or a unit error, lands in bins of its own.
"""

from __future__ import annotations

import math
import zlib
from typing import Final, Literal

import msgspec

from streams.events import Scalar

BINS_PER_SCALE: Final = 8
"""Near the centre, one bin is scale / 8; far out, bins grow by exp(1 / 8)."""
CATEGORY_BUCKETS: Final = 4_096
OUT_OF_GRID: Final = 2**31
"""Bin of an output so large that the grid has no number for it (its sign is kept)."""

NUMBER: Final = "number"
CATEGORY: Final = "category"
BOOLEAN: Final = "boolean"


class FeatureContract(msgspec.Struct, frozen=True, kw_only=True):
    """One feature. `centre` and `scale` (> 0) are in the feature's own unit; used for numbers only."""

    name: str
    kind: Literal["number", "category", "boolean"]
    centre: float = 0.0
    scale: float = 1.0
    required: bool = False
    """A missing value violates the contract."""
    low: float | None = None
    high: float | None = None
    """Plausible range (wide): outside it the row is answered and flagged."""


class TargetContract(msgspec.Struct, frozen=True, kw_only=True):
    """What is predicted. Classes are strings in index order; empty for regression, whose loss is |error| / scale, cut at 1."""

    name: str
    task: Literal["classification", "regression"]
    classes: tuple[str, ...] = ()
    scale: float = 1.0


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """Features in model order, and the target."""

    model: str
    features: tuple[FeatureContract, ...]
    target: TargetContract
    schema: int = 1


def class_name(value: Scalar) -> str:
    """One spelling for a class however it arrives: 1, 1.0, '1' and True are '1'.

    >>> class_name(1.0), class_name("UP"), class_name(True)
    ('1', 'UP', '1')
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (int, float)):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)


def bin_of(feature: FeatureContract, value: float | str | bool) -> int:
    """Grid bin of a present, valid value.

    >>> f = FeatureContract(name="x", kind="number", centre=0.0, scale=1.0)
    >>> bin_of(f, 0.0), bin_of(f, 0.2), bin_of(f, -0.2), bin_of(f, 1000.0)
    (0, 2, -2, 61)
    """
    if feature.kind == NUMBER:
        return round(math.asinh((float(value) - feature.centre) / feature.scale) * BINS_PER_SCALE)
    if feature.kind == BOOLEAN:
        return int(bool(value))
    return zlib.crc32(str(value).encode()) % CATEGORY_BUCKETS


def output_bin(target: TargetContract, value: float) -> int:
    """Bin of a prediction as served: its class index, or its place on the asinh grid in units of the target's scale.

    >>> output_bin(TargetContract(name="y", task="regression", scale=10.0), 2.0)
    2
    """
    if target.task == "classification":
        return int(value)
    try:
        return round(math.asinh(value / target.scale) * BINS_PER_SCALE)
    except OverflowError:
        return int(math.copysign(OUT_OF_GRID, value))


def violation(feature: FeatureContract, value: Scalar) -> str:
    """'' when the value keeps the contract, else the kind of violation: missing | type | not_finite | range."""
    if value is None:
        return "missing" if feature.required else ""
    if feature.kind == CATEGORY:
        return "" if isinstance(value, str) else "type"
    if feature.kind == BOOLEAN:
        return "" if isinstance(value, bool) or value in (0, 1) else "type"
    if isinstance(value, (str, bool)):
        return "type"
    if not math.isfinite(value):
        return "not_finite"
    below = feature.low is not None and value < feature.low
    above = feature.high is not None and value > feature.high
    return "range" if below or above else ""


def loss_of(target: TargetContract, predicted: float, label: Scalar) -> float:
    """Loss in [0, 1] of one prediction: wrong class, or |error| / scale cut at 1. Raises ValueError on a label outside the contract."""
    if target.task == "classification":
        name = class_name(label)
        if name not in target.classes:
            raise ValueError(f"label {name!r} is not one of the classes {list(target.classes)}")
        return 0.0 if int(predicted) == target.classes.index(name) else 1.0
    if isinstance(label, (str, bool)) or label is None or not math.isfinite(label):
        raise ValueError(f"label {label!r} is not a finite number")
    return min(abs(predicted - label) / target.scale, 1.0)
