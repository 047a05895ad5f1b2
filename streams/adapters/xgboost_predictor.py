"""Loads an XGBoost artefact and answers rows with it: the same code in serving, in the gate and for the profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.encoding import Matrix, encode_rows
from streams.events import Scalar
from streams.release import BlobStore, Release, digest_of, load_contract, load_release

FORMAT: Final = "xgboost-ubj"


class UnusableArtefact(Exception):
    """The artefact is not what its release and contract say."""


class Predictor(Protocol):
    """Answers rows; safe to call from several threads."""

    def predict(self, rows: Sequence[Mapping[str, Scalar]]) -> list[tuple[float, float | None]]:
        """Per row the class index and its probability, or the number and None."""


class XGBoostPredictor:
    """A booster on one thread. One row takes about a quarter of a millisecond, and so do 48."""

    def __init__(self, booster: Any, contract: Contract) -> None:
        self._booster = booster
        self._contract = contract
        self._classes = len(contract.target.classes)

    def predict(self, rows: Sequence[Mapping[str, Scalar]]) -> list[tuple[float, float | None]]:
        """Per row the class index and its probability, or the number and None."""
        if not rows:
            return []
        values, confidences = self.predict_matrix(encode_rows(self._contract, rows))
        if confidences is None:
            return [(value, None) for value in values.tolist()]
        return list(zip(values.tolist(), confidences.tolist(), strict=True))

    def predict_matrix(self, matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
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
        values = np.where(np.isnan(scores).any(axis=1), np.nan, scores.argmax(axis=1).astype(np.float64))
        return values, scores.max(axis=1)


def load_predictor(release: Release, contract: Contract, artefact: bytes) -> XGBoostPredictor:
    """The predictor of a release. Raises UnusableArtefact; the bytes are checked against the release before they are parsed."""
    if release.format != FORMAT:
        raise UnusableArtefact(f"artefact format {release.format!r}; wanted {FORMAT!r}. Was the release made by a newer version?")
    found = digest_of(artefact)
    if found != release.artefact:
        raise UnusableArtefact(f"artefact has the digest {found}, the release names {release.artefact}: fetch it again.")
    return load_booster(contract, artefact)


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


def load_served(store: BlobStore, digest: str) -> tuple[Release, Contract, XGBoostPredictor]:
    """Release, contract and predictor by the release's digest. Raises BlobMissing, BlobCorrupt, UnusableArtefact."""
    release = load_release(store, digest)
    contract = load_contract(store, release.contract)
    try:
        return release, contract, load_predictor(release, contract, store.get(release.artefact))
    except msgspec.ValidationError as error:
        raise UnusableArtefact(f"release {digest} cannot be read: {error}.") from error


def _check_outputs(booster: Any, contract: Contract) -> None:
    """Ask it one row of missing values: the shape of the answer must fit the contract's target. Also warms it."""
    scores = np.asarray(booster.inplace_predict(np.full((1, len(contract.features)), np.nan, dtype=np.float32)))
    classes = len(contract.target.classes)
    fits = scores.shape == (1,) if classes in (0, 2) else scores.shape == (1, classes)
    if not fits:
        raise UnusableArtefact(f"artefact answers with shape {scores.shape} for one row; its contract has {classes} classes.")
