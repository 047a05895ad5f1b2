"""What every format of artefact has in common: the error, the protocol, and the step from scores to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.encoding import Matrix, encode_rows
from streams.events import Scalar

Values: TypeAlias = NDArray[np.float64]


class UnusableArtefact(Exception):
    """The artefact is not what its release and contract say."""


class Predictor(Protocol):
    """Answers rows; safe to call from several threads."""

    def predict(self, rows: Sequence[Mapping[str, Scalar]]) -> list[tuple[float, float | None]]:
        """Per row the class index and its probability, or the number and None."""

    def predict_matrix(self, matrix: Matrix) -> tuple[Values, Values | None]:
        """Values and, for classifiers, confidences of encoded rows (see `streams.encoding`)."""


def answered(predictor: Predictor, contract: Contract, rows: Sequence[Mapping[str, Scalar]]) -> list[tuple[float, float | None]]:
    """Rows by way of the matrix."""
    if not rows:
        return []
    values, confidences = predictor.predict_matrix(encode_rows(contract, rows))
    if confidences is None:
        return [(value, None) for value in values.tolist()]
    return list(zip(values.tolist(), confidences.tolist(), strict=True))


def likeliest(scores: Values) -> tuple[Values, Values]:
    """Class indices and confidences of probabilities, shape (rows, classes).

    A row with a score that is not a number answers none, so that serving refuses it.

    >>> values, confidences = likeliest(np.array([[0.25, 0.75], [0.5, np.nan]]))
    >>> values.tolist(), confidences.tolist()
    ([1.0, nan], [0.75, nan])
    """
    values = np.where(np.isnan(scores).any(axis=1), np.nan, scores.argmax(axis=1).astype(np.float64))
    return values, scores.max(axis=1)
