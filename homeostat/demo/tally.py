"""What was sent to one model and what came back, row by row."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from homeostat.electricity import Columns

NOT_ANSWERED = -1


@dataclass(kw_only=True)
class Tally:
    """One model's stream. Rows count from the beginning of the file; those before `start` trained the first release."""

    model: str
    columns: Columns
    start: int
    stop: int
    outcomes: NDArray[np.int64] | None = None
    """Labels as they are reported; None: as they are."""
    served: NDArray[np.int8] = field(init=False)
    """Class index that was answered, per row."""
    ids: list[str] = field(init=False)
    """Prediction id, per row; '' before it is answered."""
    answered: int = field(init=False)
    """Rows before this one have all been answered."""
    labelled: int = field(init=False)
    """Rows before this one have had their label acknowledged."""
    predictions: int = 0
    labels: int = 0
    correct: int = 0

    def __post_init__(self) -> None:
        self.served = np.full(len(self.columns), NOT_ANSWERED, dtype=np.int8)
        self.ids = [""] * len(self.columns)
        self.answered = self.labelled = self.start

    def outcome(self, row: int) -> int:
        """What is reported of a row."""
        return int((self.columns.labels if self.outcomes is None else self.outcomes)[row])

    @property
    def accuracy(self) -> float:
        """Of all rows answered."""
        return self.correct / self.predictions if self.predictions else 0.0

    def take_answer(self, row: int, identity: str, value: int) -> None:
        """One row was answered."""
        self.ids[row] = identity
        self.served[row] = value
        self.predictions += 1
        self.correct += int(value == self.columns.labels[row])
        while self.answered < self.stop and self.ids[self.answered]:
            self.answered += 1

    def hits(self) -> NDArray[np.float64]:
        """Per streamed row 1 where the answer was right."""
        part = slice(self.start, self.stop)
        return np.where(self.served[part] == self.columns.labels[part], 1.0, 0.0)
