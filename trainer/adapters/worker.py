"""What a worker does with one request: the same function in the pool of this process and in Ray's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.adapters.xgboost_predictor import load_booster
from streams.contract import Contract
from streams.encoding import Matrix, encode_columns, feature_types
from streams.release import encode
from trainer.recipes import xgboost_trees
from trainer.table import Table, Target, encode_target, losses
from trainer.trial import TrialData, TrialRequest, TrialResult

Fit: TypeAlias = Callable[
    [NDArray[np.float32], NDArray[np.float64], xgboost_trees.Shape, Mapping[str, float], xgboost_trees.Context], bytes
]
RECIPES: Final[Mapping[str, Fit]] = {"xgboost": xgboost_trees.train}
THREADS: Final = 1
"""Per fit: a two-thread fit beside a busy process took 7 s instead of 0.1 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a run as a worker holds them."""

    contract: Contract
    matrix: Matrix
    target: Target


def pack(contract: Contract, table: Table) -> TrialData:
    """A table as it goes to workers. Raises ValueError on a target outside the contract."""
    target = encode_target(contract.target, table.target)
    matrix = encode_columns(contract, table.columns)
    return TrialData(contract=encode(contract), rows=table.rows, matrix=matrix.tobytes(), target=target.tobytes())


def unpack(data: TrialData) -> Rows:
    """Views on the buffers."""
    contract = msgspec.json.decode(data.contract, type=Contract)
    matrix = np.frombuffer(data.matrix, dtype=np.float32).reshape(data.rows, len(contract.features))
    return Rows(contract=contract, matrix=matrix, target=np.frombuffer(data.target, dtype=np.float64))


def run_trial(rows: Rows, request: TrialRequest) -> TrialResult:
    """Fit, measure, and say what failed if the fit did."""
    started = time.perf_counter()
    fit = RECIPES.get(request.recipe)
    if fit is None:
        fault = f"no recipe {request.recipe!r}; there are: {', '.join(sorted(RECIPES))}"
        return TrialResult(number=request.number, fault=fault)
    shape = xgboost_trees.Shape(feature_types=feature_types(rows.contract), classes=len(rows.contract.target.classes))
    context = xgboost_trees.Context(seed=request.seed, threads=THREADS)
    try:
        artefact = fit(rows.matrix[: request.fit_rows], rows.target[: request.fit_rows], shape, request.parameters, context)
        loss = _measure(rows, artefact, request.score_from, request.score_to)
    except Exception as error:  # noqa: BLE001  a recipe may raise anything; it becomes a result that says so
        return TrialResult(number=request.number, fault=f"{type(error).__name__}: {error}"[:2_000])
    return TrialResult(
        number=request.number,
        loss=loss,
        artefact=artefact if request.keep else b"",
        seconds=time.perf_counter() - started,
    )


def _measure(rows: Rows, artefact: bytes, start: int, stop: int) -> float | None:
    if stop <= start:
        return None
    predicted, _ = load_booster(rows.contract, artefact).predict_matrix(rows.matrix[start:stop])
    return float(losses(rows.contract.target, predicted, rows.target[start:stop]).mean())
