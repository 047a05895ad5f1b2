"""Rows of one model gathered from the lake, newest files first, until the newest labelled ones are surely among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from streams.topics import PREDICTIONS
from trainer.adapters.lake_files import LakeFile, LakeFiles
from trainer.adapters.logged_rows import EPOCH, keys_of, labels_of, predictions_of
from trainer.dataset import LoggedRows


class FoundRows:
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

    def add_newest(self, lake: LakeFiles, files: Iterable[LakeFile], labelled_rows: int) -> None:
        """Read files, newest first, and stop as soon as no unread one can hold one of the newest `labelled_rows` rows."""
        for newest, file in lake.newest_first(files):
            if self._complete(labelled_rows, newest):
                return
            self.add(file.topic, file.partition, lake.table(file))

    def rows(self, covers: Mapping[str, int]) -> LoggedRows:
        """Everything that may be joined."""
        wanted = self._made.keys() & self._labelled
        return LoggedRows(
            predictions=predictions_of(self._predictions, wanted),
            labels=labels_of(self._labels, wanted),
            covers=covers,
        )

    def _complete(self, wanted: int, newest_unread: datetime) -> bool:
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
