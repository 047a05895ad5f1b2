"""The newest labelled rows of a model: from the lake, and from the log where it goes beyond the lake."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.adapters.lake import SCHEMAS, directory
from streams.lake_file import in_order
from streams.ports import LogReader
from streams.prediction_id import Sealer
from streams.topics import LABELS, PREDICTIONS
from trainer.adapters.log_tail import PLACES, LogTail, Place
from trainer.adapters.logged_rows import EPOCH, keys_of, labels_of, predictions_of
from trainer.dataset import LoggedRows

MADE: Final = {PREDICTIONS: "at", LABELS: "predicted_at"}
"""The column that says when a row's prediction was made."""
CACHE_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A lake file. `newest`: when the newest prediction was made that it speaks of."""

    path: Path
    topic: str
    partition: int
    newest: datetime


class LakeSource:
    """Reads newest first and stops as soon as no unread file can hold one of the rows asked for."""

    def __init__(self, lake: Path, reader: LogReader, sealer: Sealer, horizon: timedelta) -> None:
        self._lake = lake
        self._tail = LogTail(reader, sealer, horizon)
        self._newest: dict[Path, datetime] = {}
        self._tables: OrderedDict[Path, pa.Table] = OrderedDict()
        self._cached_bytes = 0

    def newest(self, model: str, as_of: datetime, labelled_rows: int) -> LoggedRows:
        """At least the newest `labelled_rows` rows made and labelled up to `as_of`. Raises SourceBehind, LogUnavailable, PositionLost."""
        files, lake_ends = self._files()
        tail, ends = self._tail.beyond(lake_ends)
        found = _Found(model, as_of)
        for place, table in tail.items():
            found.add(*place, table)
        for file in sorted(files, key=lambda file: (file.newest, str(file.path)), reverse=True):
            if found.complete(labelled_rows, file.newest):
                break
            found.add(file.topic, file.partition, self._table(file))
        return found.rows({f"{topic}-{partition}": end for (topic, partition), end in ends.items()})

    def _files(self) -> tuple[list[_File], dict[Place, int]]:
        files, ends, present = [], dict.fromkeys(PLACES, 0), set()
        for topic, partition in PLACES:
            for lake in (self._lake, *self._set_aside()):
                folder = directory(lake, topic, partition)
                names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
                for _, end, name in in_order(names):
                    path = folder / name
                    present.add(path)
                    if lake == self._lake:
                        ends[topic, partition] = max(ends[topic, partition], end)
                    newest = self._newest_in(path, topic)
                    if newest is not None:
                        files.append(_File(path=path, topic=topic, partition=partition, newest=newest))
        self._newest = {path: newest for path, newest in self._newest.items() if path in present}
        return files, ends

    def _set_aside(self) -> list[Path]:
        """Lakes of logs before a restore: their rows count, their offsets say nothing of the present log."""
        return sorted(self._lake.parent.glob(f"{self._lake.name}-*"))

    def _newest_in(self, path: Path, topic: str) -> datetime | None:
        """From the file's footer; None: it has no rows."""
        if path not in self._newest:
            footer = pq.read_metadata(path)
            column = footer.schema.names.index(MADE[topic])
            groups = [footer.row_group(group).column(column).statistics for group in range(footer.num_row_groups)]
            known = [group.max for group in groups if group is not None and group.has_min_max]
            if not footer.num_rows:
                return None
            # Without statistics a file may hold anything: it is read.
            self._newest[path] = max(known) if len(known) == len(groups) else datetime.max.replace(tzinfo=UTC)
        return self._newest[path]

    def _table(self, file: _File) -> pa.Table:
        """The file's rows, kept while they fit: the next run wants most of them again."""
        if file.path in self._tables:
            self._tables.move_to_end(file.path)
            return self._tables[file.path]
        table = pq.read_table(file.path, schema=SCHEMAS[file.topic])
        self._tables[file.path] = table
        self._cached_bytes += table.nbytes
        while len(self._tables) > 1 and self._cached_bytes > CACHE_BYTES:
            _, oldest = self._tables.popitem(last=False)
            self._cached_bytes -= oldest.nbytes
        return table


class _Found:
    """Rows gathered so far, of one model, made and labelled up to a time."""

    def __init__(self, model: str, as_of: datetime) -> None:
        self._model = model
        self._as_of = pa.scalar(as_of, type=pa.timestamp("us", tz="UTC"))
        self._predictions: list[tuple[int, pa.Table]] = []
        self._labels: list[tuple[int, pa.Table]] = []
        self._made: dict[tuple[int, int], int] = {}
        self._labelled: set[tuple[int, int]] = set()
        self._quarantined: set[tuple[int, int]] = set()

    def add(self, topic: str, partition: int, table: pa.Table) -> None:
        """Take the rows that count from a table of that topic."""
        mine = pc.and_(pc.equal(table["model"], self._model), pc.less_equal(table["at"], self._as_of))
        rows = table.filter(mine)
        keys = keys_of(rows)
        self._quarantined.update(keys_of(rows.filter(rows["quarantined"])))
        if topic == PREDICTIONS:
            self._predictions.append((partition, rows))
            self._made.update(zip(keys, rows["at"].cast(pa.int64()).to_pylist(), strict=True))
        else:
            self._labels.append((partition, rows))
            self._labelled.update(keys)

    def complete(self, wanted: int, newest_unread: datetime) -> bool:
        """Whether the newest `wanted` labelled rows in no quarantine are here, given the newest prediction that an unread file has.

        Those in quarantine do not count: a long incident would otherwise crowd out the good rows before it.
        """
        if min(len(self._made), len(self._labelled)) < wanted:
            return False
        good = self._labelled - self._quarantined
        made = sorted((at for key, at in self._made.items() if key in good), reverse=True)
        if len(made) < wanted:
            return False
        return made[wanted - 1] > (newest_unread - EPOCH) // timedelta(microseconds=1)

    def rows(self, covers: Mapping[str, int]) -> LoggedRows:
        """Everything that may be joined."""
        wanted = self._made.keys() & self._labelled
        return LoggedRows(
            predictions=predictions_of(self._predictions, wanted),
            labels=labels_of(self._labels, wanted),
            covers=covers,
        )
