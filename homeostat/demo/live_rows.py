"""What really became of rows, read from the lake: who answered them, and which were kept out."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from config.settings import Settings
from streams import topics
from streams.adapters.lake import read_lake


def rows_answered_by(settings: Settings, model: str, release: str, generation: int) -> tuple[int, int]:
    """Rows of that model answered by that release: before that generation of the route, and from it on."""
    before = after = 0
    for rows in _predictions(settings, model):
        mine = rows.filter(pc.equal(rows["release"], release))
        late = pc.sum(pc.greater_equal(mine["generation"], generation)).as_py() or 0
        before, after = before + mine.num_rows - late, after + late
    return before, after


def rows_quarantined(settings: Settings, model: str) -> int:
    """Predictions of that model that were answered, and kept out of everything else."""
    return sum(pc.sum(rows["quarantined"]).as_py() or 0 for rows in _predictions(settings, model))


def _predictions(settings: Settings, model: str) -> Iterator[pa.Table]:
    for partition in range(topics.named(topics.PREDICTIONS).partitions):
        rows, _end = read_lake(settings.lake, topics.PREDICTIONS, partition)
        yield rows.filter(pc.equal(rows["model"], model))
