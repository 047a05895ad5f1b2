"""Small streams and tables with models that are told in one line: the label that most of the training rows had."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.healing.fits import Frozen
from benchmarks.healing.stream import NUMBER, Losses, Stream
from benchmarks.healing.tables import Table, build

PERIOD_ROWS = 20
FIRST_ROWS = 40


def world(target: Losses, name: str = "world") -> Stream:
    """A stream with this target; its one feature is the row's number, so that rows can be told apart."""
    return Stream(
        name=name,
        features=np.arange(len(target), dtype=np.float32)[:, None],
        target=target,
        kinds=(NUMBER,),
        classes=2,
        period_rows=PERIOD_ROWS,
        label_delay_rows=PERIOD_ROWS // 2,
        window_rows=FIRST_ROWS,
        first_rows=FIRST_ROWS,
    )


def constant_world(periods: int) -> Stream:
    """One label in ten is 1, for ever."""
    return turning_world(periods=periods, turn=periods)


def turning_world(*, periods: int, turn: int) -> Stream:
    """One label in ten is 1; from the begin of period `turn` on, nine in ten."""
    rows = np.arange(FIRST_ROWS + periods * PERIOD_ROWS)
    rare = rows % 10 == 3
    return world(np.where(rows < FIRST_ROWS + turn * PERIOD_ROWS, rare, ~rare).astype(np.float64))


def majority_fit(stream: Stream, begin: int, end: int) -> Callable[[NDArray[np.float32]], Losses]:
    """Answers each row with the commoner label of rows [begin, end)."""
    answer = float(stream.target[begin:end].mean() > 0.5)
    return lambda rows: np.full(len(rows), answer)


class LastLabels:
    """A challenger: the commoner of the last ten labels."""

    def __init__(self, labels: Losses) -> None:
        self._labels = labels[-10:]

    def tested_then_learnt(self, features: NDArray[np.float32], target: Losses) -> Losses:
        """A row at a time."""
        losses = []
        for place in range(len(target)):
            losses.append(float(self.frozen()(features[place : place + 1], target[place : place + 1])[0]))
            self._labels = np.append(self._labels, target[place])[-10:]
        return np.array(losses)

    def frozen(self) -> Frozen:
        """As it is now."""
        answer = float(self._labels.mean() > 0.5)
        return lambda features, target: np.where(target == answer, 0.0, 1.0)


def last_labels(stream: Stream) -> LastLabels:
    """The challenger after the first release's rows."""
    return LastLabels(stream.target[: stream.first_rows])


def table_of(stream: Stream) -> Table:
    """Its table."""
    return build(stream, last_labels, fit=majority_fit)
