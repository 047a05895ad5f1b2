"""The newest labelled rows of a model: from the lake, and from the log where it goes beyond the lake."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from streams.ports import LogReader
from streams.prediction_id import Sealer
from trainer.adapters.found_rows import FoundRows
from trainer.adapters.lake_files import LakeFiles
from trainer.adapters.log_tail import PLACES, LogTail
from trainer.dataset import LoggedRows, SourceBehind

CACHE_BYTES: Final = 256 * 2**20


class LakeSource:
    """Reads newest first and stops as soon as no unread file can hold one of the rows asked for."""

    def __init__(self, lake: Path, reader: LogReader, sealer: Sealer, horizon: timedelta) -> None:
        self._lake = LakeFiles(lake, CACHE_BYTES)
        self._tail = LogTail(reader, sealer, horizon)

    def newest(self, model: str, as_of: datetime, labelled_rows: int) -> LoggedRows:
        """At least the newest `labelled_rows` rows made and labelled up to `as_of`. Raises SourceBehind, LogUnavailable, PositionLost."""
        self._lake.look()
        self._lake.try_all_anew()
        files = [file for place in PLACES for file in self._lake.listed(*place)]
        lake_ends = dict.fromkeys(PLACES, 0)
        for file in files:
            if file.present:
                place = file.topic, file.partition
                lake_ends[place] = max(lake_ends[place], file.end_offset)
        tail, ends = self._tail.beyond(lake_ends)
        found = FoundRows(model, as_of)
        for place, table in tail.items():
            found.add(*place, table)
        found.add_newest(self._lake, files, labelled_rows)
        if unreadable := self._lake.unreadable:  # a dataset with a hole would not say so
            path, why = next(iter(unreadable.items()))
            raise SourceBehind(f"{len(unreadable)} lake files cannot be read: {path}: {why}; bring them back, or move them away")
        return found.rows({f"{topic}-{partition}": end for (topic, partition), end in ends.items()})
