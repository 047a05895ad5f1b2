"""Loads an XGBoost artefact and answers rows with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from streams.adapters.artefact import UnusableArtefact, Values, answered, likeliest
from streams.contract import Contract
from streams.encoding import Matrix
from streams.events import Scalar

FORMAT: Final = "xgboost-ubj"


class XGBoostPredictor:
    """A booster on one thread. One row takes about a quarter of a millisecond, and so do 48."""

    def __init__(self, booster: Any, contract: Contract) -> None:
        self._booster = booster
        self._contract = contract
        self._classes = len(contract.target.classes)

    def predict(self, rows: Sequence[Mapping[str, Scalar]]) -> list[tuple[float, float | None]]:
        """Per row the class index and its probability, or the number and None."""
        return answered(self, self._contract, rows)

    def predict_matrix(self, matrix: Matrix) -> tuple[Values, Values | None]:
        """Values and, for classifiers, confidences of encoded rows (see `streams.encoding`)."""
        if not len(matrix):
            return np.empty(0), np.empty(0) if self._classes else None
        scores = np.asarray(self._booster.inplace_predict(matrix, validate_features=False), dtype=np.float64)
        if not self._classes:
            return scores.reshape(len(matrix)), None
        if scores.ndim == 1:
            # A score that is not a number must stay one, so that serving refuses it: NaN > 0.5 would answer class 0.
            values = np.where(np.isnan(scores), np.nan, (scores > 0.5).astype(np.float64))
            return values, np.where(scores > 0.5, scores, 1.0 - scores)
        return likeliest(scores)


def load_booster(contract: Contract, artefact: bytes) -> XGBoostPredictor:
    """The predictor of bytes that this process made or has verified. Raises UnusableArtefact."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(artefact))
    except xgboost.core.XGBoostError as error:
        first_line = str(error).strip().splitlines()[0]
        raise UnusableArtefact(f"XGBoost cannot read the artefact ({len(artefact)} bytes): {first_line}") from error
    # What was saved may carry the trainer's thread count.
    booster.set_param({"nthread": 1})
    features = booster.num_features()
    if features != len(contract.features):
        raise UnusableArtefact(
            f"artefact has {features} features, its contract {len(contract.features)}: they are not of one release."
        )
    predictor = XGBoostPredictor(booster, contract)
    _check_outputs(booster, contract)
    return predictor


def _check_outputs(booster: Any, contract: Contract) -> None:
    """Ask it one row of missing values: the shape of the answer must fit the contract's target. Also warms it."""
    scores = np.asarray(booster.inplace_predict(np.full((1, len(contract.features)), np.nan, dtype=np.float32)))
    classes = len(contract.target.classes)
    fits = scores.shape == (1,) if classes in (0, 2) else scores.shape == (1, classes)
    if not fits:
        raise UnusableArtefact(f"artefact answers with shape {scores.shape} for one row; its contract has {classes} classes.")
