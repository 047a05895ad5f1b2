"""Numbers rows: (epoch, seq) is never used twice, as it is also the nonce of the prediction id."""

from __future__ import annotations

import secrets

from streams.prediction_id import MAXIMUM_EPOCH, MAXIMUM_SEQ


class Sequence:
    """A random epoch for this process and a counter. Belongs to one thread."""

    def __init__(self) -> None:
        self._start_epoch()

    def take(self, rows: int) -> tuple[int, int]:
        """Epoch and first number of so many consecutive ones; a new epoch begins where the numbers would run out."""
        if self._next + rows - 1 > MAXIMUM_SEQ:
            self._start_epoch()
        first = self._next
        self._next += rows
        return self._epoch, first

    def _start_epoch(self) -> None:
        self._epoch = secrets.randbelow(MAXIMUM_EPOCH) + 1
        self._next = 0
