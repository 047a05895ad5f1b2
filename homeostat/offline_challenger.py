"""The challenger over the electricity stream, without Kafka: what it lost on each row before it learnt it, and how it stood at any."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from drift.challenger import Challenger, fresh, losses_of, predict, predicted_then_learnt, warmed
from drift.challenger_encoding import Shape
from homeostat.electricity import FEATURES, Columns
from homeostat.offline import Fitted, Wrong

STANDS_EVERY_ROWS: Final = 48
"""Rows between two of its states that are kept: of such pieces the decision periods are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineChallenger:
    """One run over a stream."""

    columns: Columns
    first_rows: int
    wrong: Wrong
    """Per row of the stream; False where it was warmed."""
    stands: tuple[Challenger, ...]
    """After each STANDS_EVERY_ROWS rows behind the first; what only learning needs is gone."""

    def frozen(self, known: int) -> Fitted:
        """It as it stood when the labels of rows up to `known` were in: asked for every row since."""
        place = max(known - self.first_rows, 0) // STANDS_EVERY_ROWS
        since = self.first_rows + place * STANDS_EVERY_ROWS
        state = self.stands[place]
        wrong = np.zeros(len(self.columns), dtype=np.bool_)
        values, _ = predict(state, self.columns.features[since:].astype(np.float32))
        wrong[since:] = losses_of(state.shape, values, self.columns.labels[since:].astype(np.float64)) > 0.0
        return Fitted(trained_until=since, wrong=wrong)


def challenge(columns: Columns, *, first_rows: int, memory_rows: int, seed: int = 0) -> OfflineChallenger:
    """Warm it on the first rows, and let it learn the others a day at a time."""
    features, labels = columns.features.astype(np.float32), columns.labels.astype(np.float64)
    shape = Shape(kinds=("number",) * len(FEATURES), classes=2)
    state = warmed(fresh(shape, float(memory_rows), seed), features[:first_rows], labels[:first_rows])
    wrong = np.zeros(len(columns), dtype=np.bool_)
    stands = [_still(state)]
    for begin in range(first_rows, len(columns), STANDS_EVERY_ROWS):
        rows = slice(begin, begin + STANDS_EVERY_ROWS)
        state, losses = predicted_then_learnt(state, features[rows], labels[rows])
        wrong[rows] = losses > 0.0
        stands.append(_still(state))
    return OfflineChallenger(columns=columns, first_rows=first_rows, wrong=wrong, stands=tuple(stands))


def _still(state: Challenger) -> Challenger:
    nothing = np.empty(0)
    return dataclasses.replace(state, moments=nothing, products=nothing)
