"""Rows to learn from, by column and in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.contract import TargetContract, class_name
from streams.events import Scalar
from streams.scoring import column_losses

Target: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and target of equal length; `at` is None for rows that were never served (the registration's)."""

    columns: Mapping[str, Sequence[Scalar]]
    target: Sequence[Scalar]
    at: Sequence[datetime | None]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.target)

    def part(self, start: int, stop: int) -> Table:
        """Rows [start, stop)."""
        return Table(
            columns={name: values[start:stop] for name, values in self.columns.items()},
            target=self.target[start:stop],
            at=self.at[start:stop],
        )


def encode_target(target: TargetContract, values: Sequence[Scalar]) -> Target:
    """Class indices, or numbers. Raises ValueError on a value outside the contract.

    >>> encode_target(TargetContract(name="y", task="classification", classes=("0", "1")), [1, "0", True]).tolist()
    [1.0, 0.0, 1.0]
    """
    if target.task == "classification":
        index = {name: float(place) for place, name in enumerate(target.classes)}
        try:
            return np.array([index[class_name(value)] for value in values], dtype=np.float64)
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is not one of the classes {list(target.classes)} of {target.name!r}") from None
    try:
        numbers = np.array([float(value) for value in values if value is not None], dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"the target {target.name!r} has a value that is not a number: {error}") from None
    if len(numbers) < len(values) or not np.isfinite(numbers).all():
        raise ValueError(f"the target {target.name!r} has values that are missing or not finite")
    return numbers


def losses(target: TargetContract, predicted: NDArray[np.float64], actual: Target) -> NDArray[np.float64]:
    """`streams.contract.loss_of` for whole columns: wrong class, or |error| / scale cut at 1. What is not a number loses 1.

    >>> losses(TargetContract(name="y", task="regression", scale=2.0), np.array([1.0, 9.0, np.nan]), np.array([2.0, 2.0, 2.0])).tolist()
    [0.5, 1.0, 1.0]
    """
    return column_losses(predicted, actual, None if target.task == "classification" else target.scale)
