"""The lake: one Parquet file for each stretch of a partition. A file is whole or absent, and never overwritten."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from streams import lake_file
from streams.adapters.store import write_durably
from streams.events import Predicted
from streams.lake_file import Stretch
from streams.lake_row import LabelRow, PredictionRow, canonical_json
from streams.topics import LABELS, PREDICTIONS

_TIME: Final = pa.timestamp("us", tz="UTC")
PREDICTION_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("epoch", pa.int64()),
        ("seq", pa.int64()),
        ("at", _TIME),
        ("model", pa.string()),
        ("release", pa.string()),
        ("arm", pa.string()),
        ("generation", pa.int64()),
        ("step", pa.int64()),
        ("contract", pa.string()),
        ("numbers", pa.map_(pa.string(), pa.float64())),
        ("texts", pa.map_(pa.string(), pa.string())),
        ("outputs", pa.string()),
        ("offset", pa.int64()),
        ("quarantined", pa.bool_()),
        ("flags", pa.string()),
    ]
)
LABEL_SCHEMA: Final = pa.schema(
    [
        ("prediction", pa.string()),
        ("epoch", pa.int64()),
        ("seq", pa.int64()),
        ("at", _TIME),
        ("predicted_at", _TIME),
        ("model", pa.string()),
        ("release", pa.string()),
        ("generation", pa.int64()),
        ("label", pa.string()),
        ("offset", pa.int64()),
        ("quarantined", pa.bool_()),
    ]
)
SCHEMAS: Final = {PREDICTIONS: PREDICTION_SCHEMA, LABELS: LABEL_SCHEMA}
"""Column `numbers` holds numbers and booleans (0, 1), `texts` strings; a missing value is in neither. `outputs`, `flags` and `label` are JSON.

Columns are only ever appended: in files that were written before one it reads as null, which for `quarantined` and `flags` means
that nothing was held back then."""


class LakeWriter:
    """Collects the rows of the open stretches as Arrow and writes a file when one ends."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[tuple[str, int], list[pa.Table]] = {}

    def add(self, topic: str, partition: int, rows: Sequence[PredictionRow | LabelRow]) -> None:
        """Take the rows of a window that ended."""
        if rows:
            self._open.setdefault((topic, partition), []).append(table_of(topic, rows))

    def sweep(self, older_than_s: float) -> None:
        """Remove temporary files that a killed writer left, once they are too old to be anybody's work."""
        for path in self._root.glob("*/*/.*"):
            if time.time() - path.stat().st_mtime > older_than_s:
                path.unlink(missing_ok=True)

    def end(self, topic: str, partition: int, stretch: Stretch) -> int:
        """Write the stretch's file and return its size in bytes; 0: it has no rows, or the file is there already."""
        tables = self._open.pop((topic, partition), [])
        if not tables:
            return 0
        path = directory(self._root, topic, partition) / lake_file.file_name(stretch.first_offset, stretch.end_offset)
        if path.exists():
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        data = encode(pa.concat_tables(tables))
        write_durably(path, data)
        return len(data)


def read_lake(lake_dir: str | Path, topic: str, partition: int) -> tuple[pa.Table, int]:
    """All rows of a partition in the lake, in order, and the offset up to which the lake covers it (0: no file yet).

    What lies beyond is in the log. Where files overlap (a log once read again from a later start), each offset is taken once.
    """
    folder = directory(Path(lake_dir), topic, partition)
    names = [entry.name for entry in os.scandir(folder)] if folder.is_dir() else []
    end, tables = 0, []
    for first, file_end, name in lake_file.in_order(names):
        if file_end <= end:
            continue
        table = pq.read_table(folder / name, schema=SCHEMAS[topic])
        if first < end:
            table = table.filter(pa.compute.greater_equal(table["offset"], end))
        tables.append(table)
        end = file_end
    return (pa.concat_tables(tables) if tables else SCHEMAS[topic].empty_table()), end


def table_of(topic: str, rows: Sequence[PredictionRow | LabelRow]) -> pa.Table:
    """Rows as the lake keeps them; the trainer brings the end of the log into the same form."""
    if topic == PREDICTIONS:
        return prediction_table([row for row in rows if isinstance(row, PredictionRow)])
    return label_table([row for row in rows if isinstance(row, LabelRow)])


def prediction_table(rows: Sequence[PredictionRow]) -> pa.Table:
    """One row per prediction, PREDICTION_SCHEMA."""
    records = [row.predicted for row in rows]
    columns: dict[str, Any] = {
        name: [getattr(record, name) for record in records]
        for name in ("id", "epoch", "seq", "model", "release", "arm", "generation", "step", "contract", "quarantined")
    }
    columns["at"] = _times([record.at for record in records])
    columns["numbers"], columns["texts"] = _features(records)
    columns["outputs"] = [canonical_json(record.outputs) for record in records]
    columns["flags"] = [canonical_json(record.flags) for record in records]
    columns["offset"] = [row.offset for row in rows]
    return pa.table([columns[name] for name in PREDICTION_SCHEMA.names], schema=PREDICTION_SCHEMA)


def label_table(rows: Sequence[LabelRow]) -> pa.Table:
    """One row per label, LABEL_SCHEMA."""
    columns: dict[str, Any] = {
        name: [getattr(row.sealed, name) for row in rows]
        for name in ("epoch", "seq", "model", "release", "generation", "quarantined")
    }
    columns["prediction"] = [row.labelled.prediction for row in rows]
    columns["at"] = _times([row.labelled.at for row in rows])
    columns["predicted_at"] = _times([row.sealed.at for row in rows])
    columns["label"] = [canonical_json(row.labelled.label) for row in rows]
    columns["offset"] = [row.offset for row in rows]
    return pa.table([columns[name] for name in LABEL_SCHEMA.names], schema=LABEL_SCHEMA)


def encode(table: pa.Table) -> bytes:
    """Parquet bytes that depend on the rows alone (and on the version of the library)."""
    buffer = io.BytesIO()
    pq.write_table(table.combine_chunks(), buffer, compression="zstd", row_group_size=lake_file.MAXIMUM_ROWS)
    return buffer.getvalue()


def directory(root: Path, topic: str, partition: int) -> Path:
    """Where the files of a partition lie."""
    return root / topic / str(partition)


def _times(values: Sequence[datetime]) -> pa.Array:
    return pa.array(values, type=_TIME)


def _features(records: Sequence[Predicted]) -> tuple[pa.Array, pa.Array]:
    """The two map columns. Built from flat lists: a list of pairs for each row takes several times as long."""
    number_ends, number_keys, numbers = [0], [], []
    text_ends, text_keys, texts = [0], [], []
    for record in records:
        for name, value in sorted(record.features.items()):
            if isinstance(value, str):
                text_keys.append(name)
                texts.append(value)
            elif value is not None:
                number_keys.append(name)
                numbers.append(float(value))
        number_ends.append(len(numbers))
        text_ends.append(len(texts))
    return (
        pa.MapArray.from_arrays(number_ends, pa.array(number_keys, pa.string()), pa.array(numbers, pa.float64())),
        pa.MapArray.from_arrays(text_ends, pa.array(text_keys, pa.string()), pa.array(texts, pa.string())),
    )
