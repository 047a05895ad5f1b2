"""What the log of predictions and labels holds beyond the lake, in the lake's form; what was read once is not read again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from streams.adapters.lake import table_of
from streams.lake_row import LabelRow, PredictionRow, label_row, prediction_row
from streams.ports import LogReader, LogUnavailable, Message
from streams.prediction_id import Sealer
from streams.topics import LABELS, PREDICTIONS, named
from trainer.dataset import SourceBehind

Place: TypeAlias = tuple[str, int]
PLACES: Final = tuple((topic, partition) for topic in (PREDICTIONS, LABELS) for partition in range(named(topic).partitions))
MOST_RECORDS: Final = 500_000
"""More beyond the lake than this, and the monitor is not keeping up: a dataset without them would be an old one."""
TIMEOUT_S: Final = 60.0
BATCH: Final = 10_000


class LogTail:
    """The rows beyond the lake, by partition; those that the lake has taken over since are dropped at the next reading."""

    def __init__(self, reader: LogReader, sealer: Sealer, horizon: timedelta) -> None:
        self._reader = reader
        self._sealer = sealer
        self._horizon = horizon
        self._tables: dict[Place, pa.Table] = {}
        self._read_to: dict[Place, int] = dict.fromkeys(PLACES, 0)

    def beyond(self, lake_ends: Mapping[Place, int]) -> tuple[Mapping[Place, pa.Table], Mapping[Place, int]]:
        """Rows from where the lake ends to the log's present end, and that end. Raises SourceBehind, LogUnavailable, PositionLost."""
        ends = self._reader.end_offsets(PLACES)
        behind = sum(max(ends[place] - lake_ends[place], 0) for place in PLACES)
        if behind > MOST_RECORDS:
            raise SourceBehind(
                f"{behind} records are not in the lake yet, {MOST_RECORDS} are read beyond it: does the monitor run?"
            )
        for place, table in self._tables.items():
            self._tables[place] = table.filter(pc.greater_equal(table["offset"], lake_ends[place]))
        starts = {place: max(lake_ends[place], self._read_to[place]) for place in PLACES}
        self._read({place: start for place, start in starts.items() if start < ends[place]}, ends)
        return {place: table for place, table in self._tables.items() if table.num_rows}, ends

    def _read(self, starts: Mapping[Place, int], ends: Mapping[Place, int]) -> None:
        if not starts:
            return
        self._reader.assign(starts)
        rows: dict[Place, list[PredictionRow | LabelRow]] = {place: [] for place in starts}
        deadline = time.monotonic() + TIMEOUT_S
        waiting = set(starts)
        while waiting:
            for message in self._reader.poll(0.1, BATCH):
                row = self._row(message)
                if row is not None and message.offset < ends[message.topic, message.partition]:
                    rows[message.topic, message.partition].append(row)
            waiting = {place for place in waiting if self._reader.position(place) < ends[place]}
            if waiting and time.monotonic() > deadline:
                raise LogUnavailable(f"{len(waiting)} partitions beyond the lake were not read within {TIMEOUT_S:.0f} s")
        # Only now: a reading that broke off leaves what was known before, and is begun again there.
        for place, found in rows.items():
            self._read_to[place] = ends[place]
            if found:
                known = [self._tables[place]] if place in self._tables else []
                self._tables[place] = pa.concat_tables([*known, table_of(place[0], found)]).combine_chunks()

    def _row(self, message: Message) -> PredictionRow | LabelRow | None:
        if message.topic == PREDICTIONS:
            row: object = prediction_row(message)
        else:
            row = label_row(message, self._sealer, self._horizon)
        return row if isinstance(row, (PredictionRow, LabelRow)) else None
