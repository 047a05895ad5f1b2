"""The electricity stream of the demo: 45,312 real half-hours, in order or shuffled (source: `examples/electricity/README.md`)."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES: Final = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
TARGET: Final = "class"
BEGIN: Final = datetime(1996, 5, 7, tzinfo=UTC)
STEP: Final = timedelta(minutes=30)
FIRST_SHARE: Final = 0.1
"""Rows that the first release is trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The stream by column, in the order it is sent. Row i is the half-hour that begins at `BEGIN + i * STEP`."""

    features: NDArray[np.float64]
    """Rows by FEATURES."""
    labels: NDArray[np.int64]
    """1: the price was above the mean of the last 24 hours."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def first_rows(self) -> int:
        """Rows in the first tenth."""
        return int(len(self) * FIRST_SHARE)

    def at(self, row: int) -> datetime:
        """Event time of a row."""
        return BEGIN + row * STEP

    def shuffled(self, seed: int) -> Columns:
        """The same rows in random order, first tenth included: its reference and its stream are alike, nothing changes."""
        order = np.random.default_rng(seed).permutation(len(self))
        return Columns(features=self.features[order], labels=self.labels[order])

    def turned(self, stretches: Iterable[tuple[int, int]]) -> Columns:
        """The same rows, but with the other class in rows [begin, end) of each stretch: another world, and back."""
        labels = self.labels.copy()
        for begin, end in stretches:
            labels[begin:end] = 1 - labels[begin:end]
        return Columns(features=self.features, labels=labels)

    def part(self, begin: int, end: int) -> Columns:
        """Rows [begin, end)."""
        return Columns(features=self.features[begin:end], labels=self.labels[begin:end])


def load(path: Path) -> Columns:
    """The stream in `path` (gzipped CSV). Raises ValueError when it is not that file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        header = tuple(file.readline().strip().split(","))
        if header != (*FEATURES, TARGET):
            raise ValueError(f"{path} has the columns {', '.join(header)}; wanted {', '.join((*FEATURES, TARGET))}.")
        table = np.loadtxt(file, delimiter=",", dtype=np.float64)
    return Columns(features=table[:, :-1], labels=table[:, -1].astype(np.int64))
