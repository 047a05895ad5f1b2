"""The two streams of the demo: the real order, and a shuffled copy in which nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeostat.electricity import FEATURES, FIRST_SHARE, TARGET, Columns, load
from streams.events import Scalar

HEALED: Final = "electricity"
NULL: Final = "electricity-shuffled"
DATA: Final = Path(__file__).parents[2] / "examples" / "electricity" / "electricity.csv.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPart(Columns):
    """The beginning of a stream. What trains the first release stays a tenth of the whole."""

    whole_rows: int

    @property
    def first_rows(self) -> int:
        """Rows in the first tenth of the whole stream."""
        return int(self.whole_rows * FIRST_SHARE)


def streams(seed: int, rows: int | None, path: Path = DATA) -> dict[str, StreamPart]:
    """Both streams by model, each with at most so many rows after the first tenth."""
    whole = load(path)
    stop = len(whole) if rows is None else min(len(whole), whole.first_rows + rows)
    return {
        name: StreamPart(features=columns.features[:stop], labels=columns.labels[:stop], whole_rows=len(whole))
        for name, columns in ((HEALED, whole), (NULL, whole.shuffled(seed)))
    }


def first_table(columns: Columns, rows: int) -> dict[str, list[Scalar]]:
    """The rows that the first release is registered with, by column."""
    table: dict[str, list[Scalar]] = {name: columns.features[:rows, place].tolist() for place, name in enumerate(FEATURES)}
    table[TARGET] = columns.labels[:rows].tolist()
    return table
