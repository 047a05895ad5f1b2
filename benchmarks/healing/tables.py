"""Everything that could have served: row losses of a model trained at every decision point, and of the challenger.

With these a policy's replay looks losses up and fits nothing. Model i serves from the begin of period i on; 0 is the
first release. The challenger is tested on each row when its label comes, then learns it; frozen i is the challenger as
it was at the begin of period i.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.healing.action import Action
from benchmarks.healing.fits import Challenger, Fit, Frozen, NewChallenger, recipe
from benchmarks.healing.stream import Losses, Stream

BATCH_ROWS: Final = 48
"""Rows that the challenger learns at once, at most."""

Cells: TypeAlias = NDArray[np.uint8] | NDArray[np.float16]
"""Row losses, models by rows: 0 or 1, or (regression) half-precision numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Computing time on one core."""

    fit: float
    """A training, in the mean; predictions not counted."""
    challenger: float
    """Testing and learning all rows after the first release's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Row losses by model; and by period their sums and the sums of squared differences to the challenger."""

    stream: Stream
    trained: Cells
    """[i, row]; 0 on rows before model i could serve."""
    frozen_challenger: Cells
    challenger: Losses
    """[row]; 0 on the first release's rows."""
    trained_sums: Losses
    """[i, period]; NaN before model i could serve."""
    trained_squares: Losses
    """[i, period]: sum of (loss - challenger's loss) ** 2."""
    frozen_sums: Losses
    frozen_squares: Losses
    challenger_sums: Losses
    """[period]"""
    seconds: Seconds

    @property
    def mean_loss_trained_every_period(self) -> float:
        """A period's loss where each period is served by a model of its own: the unit of prices."""
        return float(np.diagonal(self.trained_sums).mean())

    def row_losses(self, kind: Action, model: int) -> Losses:
        """Losses of what was trained (TRAIN) or frozen (SWAP) at the begin of a period, on every later row."""
        return np.asarray((self.frozen_challenger if kind is Action.SWAP else self.trained)[model])

    def sums(self, kind: Action, model: int) -> Losses:
        """The same by period."""
        return np.asarray((self.frozen_sums if kind is Action.SWAP else self.trained_sums)[model])

    def squares(self, kind: Action, model: int) -> Losses:
        """Sums of squared differences to the challenger, by period."""
        return np.asarray((self.frozen_squares if kind is Action.SWAP else self.trained_squares)[model])


def build(
    stream: Stream,
    challenger: NewChallenger,
    *,
    seed: int = 0,
    parameters: Mapping[str, float] | None = None,
    fit: Fit | None = None,
    cache: Path | None = None,
) -> Table:
    """All losses of a stream. With `cache`, kept in that .npz and read from it when it is there (whatever made it).

    `fit` is the shipped recipe with these parameters unless given.
    """
    if cache is not None and cache.exists():
        with np.load(cache) as kept:
            fit_seconds, challenger_seconds = kept["seconds"].tolist()
            seconds = Seconds(fit=fit_seconds, challenger=challenger_seconds)
            return _summed(stream, kept["trained"], kept["frozen"], kept["challenger"], seconds)
    trained, fit_seconds = _trained(stream, fit or recipe(seed, parameters))
    running, stills, challenger_seconds = challenged(stream, challenger(stream))
    frozen = _frozen(stream, stills)
    if cache is not None:
        np.savez(cache, trained=trained, frozen=frozen, challenger=running, seconds=[fit_seconds, challenger_seconds])
    return _summed(stream, trained, frozen, running, Seconds(fit=fit_seconds, challenger=challenger_seconds))


def challenged(stream: Stream, challenger: Challenger) -> tuple[Losses, list[Frozen], float]:
    """The challenger's row losses; what it was at the begin of each period; and the seconds that testing and learning took."""
    losses, stills, seconds = np.zeros(stream.end), [], 0.0
    learnt = stream.first_rows
    for period in range(stream.periods + 1):
        until = stream.known(stream.begin(period)) if period < stream.periods else stream.end
        began = time.perf_counter()
        losses[learnt:until] = taught(stream, challenger, learnt, until)
        seconds += time.perf_counter() - began
        learnt = until
        stills.append(challenger.frozen())
    return losses, stills[:-1], seconds


def taught(stream: Stream, challenger: Challenger, begin: int, end: int) -> Losses:
    """Losses of the challenger on rows [begin, end), which it then knows."""
    batches = [slice(start, min(start + BATCH_ROWS, end)) for start in range(begin, end, BATCH_ROWS)]
    return np.concatenate([challenger.tested_then_learnt(stream.features[b], stream.target[b]) for b in batches] or [np.empty(0)])


def by_period(stream: Stream, losses: Losses) -> Losses:
    """Sums over each period of values by row."""
    return np.asarray(losses[stream.first_rows : stream.end].reshape(stream.periods, stream.period_rows).sum(axis=1))


def _cells(stream: Stream) -> Cells:
    shape = (stream.periods, stream.end)
    return np.zeros(shape, np.uint8) if stream.classes else np.zeros(shape, np.float16)


def _trained(stream: Stream, fit: Fit) -> tuple[Cells, float]:
    cells, seconds = _cells(stream), 0.0
    for period in range(stream.periods):
        began = time.perf_counter()
        predict = fit(stream, *stream.window(period))
        seconds += time.perf_counter() - began
        rows = slice(stream.begin(period), stream.end)
        cells[period, rows] = stream.losses(predict(stream.features[rows]), stream.target[rows])
    return cells, seconds / stream.periods


def _frozen(stream: Stream, stills: list[Frozen]) -> Cells:
    cells = _cells(stream)
    for period, losses in enumerate(stills):
        rows = slice(stream.begin(period), stream.end)
        cells[period, rows] = losses(stream.features[rows], stream.target[rows])
    return cells


def _summed(stream: Stream, trained: Cells, frozen: Cells, challenger: Losses, seconds: Seconds) -> Table:
    trained_sums, trained_squares = _period_sums(stream, trained, challenger)
    frozen_sums, frozen_squares = _period_sums(stream, frozen, challenger)
    return Table(
        stream=stream,
        trained=trained,
        frozen_challenger=frozen,
        challenger=challenger,
        trained_sums=trained_sums,
        trained_squares=trained_squares,
        frozen_sums=frozen_sums,
        frozen_squares=frozen_squares,
        challenger_sums=by_period(stream, challenger),
        seconds=seconds,
    )


def _period_sums(stream: Stream, cells: Cells, challenger: Losses) -> tuple[Losses, Losses]:
    sums, squares = np.full((2, len(cells), stream.periods), np.nan)
    for model, row_losses in enumerate(cells):
        losses = row_losses.astype(np.float64)
        sums[model, model:] = by_period(stream, losses)[model:]
        squares[model, model:] = by_period(stream, (losses - challenger) ** 2)[model:]
    return sums, squares
