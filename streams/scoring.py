"""What a row means under its contract: whether its outputs are possible, and what each arm lost on its label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract, loss_of
from streams.events import Predicted
from streams.lake_row import LabelRow, Refused


@dataclass(frozen=True, slots=True)
class ArmLoss:
    """Loss in [0, 1] of one arm on one labelled row."""

    arm: str
    release: str
    loss: float


def mismatch(contract: Contract, predicted: Predicted, release_models: Mapping[str, str]) -> Refused | None:
    """Why a prediction cannot be counted under the contract it names; None: it can."""
    if contract.model != predicted.model:
        return Refused(
            reason="unknown_model",
            detail=f"contract {predicted.contract} is of {contract.model!r}, not {predicted.model[:80]!r}.",
        )
    for output in predicted.outputs:
        model = release_models[output.release]
        if model != predicted.model:
            return Refused(
                reason="unknown_model", detail=f"release {output.release} is of {model!r}, not {predicted.model[:80]!r}."
            )
    if contract.target.task == "classification":
        classes = len(contract.target.classes)
        for output in predicted.outputs:
            if output.value is not None and not (output.value.is_integer() and 0 <= output.value < classes):
                return Refused(
                    reason="wrong_schema", detail=f"an output must be a class index below {classes}, got {output.value}."
                )
    return None


def losses_of(contract: Contract, row: LabelRow) -> tuple[ArmLoss, ...] | Refused:
    """The loss of every arm that gave an output, in the order of the sealed id."""
    try:
        return tuple(
            ArmLoss(arm, release, loss_of(contract.target, value, row.labelled.label))
            for arm, release, value in row.sealed.outputs
            if value is not None
        )
    except ValueError as error:
        return Refused(reason="bad_label", detail=str(error))


def column_losses(predicted: NDArray[np.float64], actual: NDArray[np.float64], scale: float | None) -> NDArray[np.float64]:
    """`streams.contract.loss_of` for whole columns: |error| / scale cut at 1, or (no scale) wrong class. What is no number loses 1.

    >>> column_losses(np.array([1.0, 9.0, np.nan]), np.array([2.0, 2.0, 2.0]), 2.0).tolist()
    [0.5, 1.0, 1.0]
    """
    if scale is None:
        return np.where(predicted == actual, 0.0, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.abs(predicted - actual) / scale
    return np.where(np.isfinite(errors), np.minimum(errors, 1.0), 1.0)
