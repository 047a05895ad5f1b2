"""The files of the lake as they come: listed at the cost of a look at each directory, read once while they fit in memory."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from streams.adapters.lake import SCHEMAS, directory
from streams.lake_file import in_order
from streams.topics import LABELS, PREDICTIONS, named

MADE: Final = {PREDICTIONS: "at", LABELS: "predicted_at"}
"""The column that says when a row's prediction was made."""
SETTLED_NS: Final = 200_000_000
"""A directory that changed so lately is listed again at the next look: within one tick of its clock, two changes look like one."""
THREADED_ROWS: Final = 10_000
AGAIN_S: Final = 10.0
"""After so long a file that could not be read is tried again."""
_Read = TypeVar("_Read")
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

PLACES: Final = tuple((topic, partition) for topic in (PREDICTIONS, LABELS) for partition in range(named(topic).partitions))
Place: TypeAlias = tuple[str, int]
Span: TypeAlias = tuple[datetime, datetime]

log = logging.getLogger("homeostat.lake")


class Interrupted(Exception):
    """Whoever reads is to stop: nothing of what it was about is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFile:
    """One file: offsets [first_offset, end_offset) of its partition."""

    path: Path
    topic: str
    partition: int
    first_offset: int
    end_offset: int
    present: bool
    """Of the present log; others are of logs before a restore: their rows count, their offsets say nothing any more."""


class LakeFiles:
    """What lay in the lake at the last look. Whoever asks has one of their own: it is not for two threads.

    A file that cannot be read, or is none, counts as one without rows, and stands in `unreadable`: one damaged file must not
    hold up whoever can do without it. It is tried again after AGAIN_S.
    """

    def __init__(self, lake: Path, cache_bytes: int) -> None:
        self._lake = lake
        self._aside = re.compile(re.escape(lake.name) + r"-\d+")  # other directories beside it are none of ours
        self._cache_bytes = cache_bytes
        self._listings: dict[Path, _Listing] = {}
        self._files: dict[Place, Sequence[LakeFile]] = {}
        self._spans: dict[Path, Span | None] = {}
        self._tables: OrderedDict[Path, pa.Table] = OrderedDict()
        self._cached_bytes = 0
        self._counts: dict[Path, Mapping[str, int]] = {}
        self._ends: dict[Place, int] = {}
        self._again_s: dict[Path, float] = {}
        self.set_aside: tuple[Path, ...] = ()
        """Lakes of logs before a restore."""
        self.unreadable: dict[Path, str] = {}
        """Files that could not be read when they were tried last, and why."""
        self.interrupted: Callable[[], bool] = lambda: False
        """Asked before a file is opened."""

    def look(self) -> None:
        """See what has come, or gone, since the last look. Raises OSError."""
        root = self._listing(self._lake.parent)
        aside = (self._lake.parent / name for name in root.names if self._aside.fullmatch(name))
        self.set_aside = tuple(sorted(lake for lake in aside if lake.is_dir()))
        for topic, partition in PLACES:
            found: Sequence[LakeFile] = ()
            for lake in (*self.set_aside, self._lake):
                folder = directory(lake, topic, partition)
                listing = self._listing(folder)
                listing.take(folder, topic, partition, present=lake == self._lake)
                found = [*found, *listing.files] if found else listing.files
                self._forget(listing.gone)
                if lake == self._lake:
                    self._ends[topic, partition] = listing.end
            self._files[topic, partition] = found

    def listed(self, topic: str, partition: int) -> Sequence[LakeFile]:
        """The whole files of a partition in order, those of logs before a restore first."""
        return self._files.get((topic, partition), ())

    def end(self, topic: str, partition: int) -> int:
        """The offset up to which the present log's files go; 0: there are none."""
        return self._ends.get((topic, partition), 0)

    def span(self, file: LakeFile) -> Span | None:
        """When the oldest and the newest prediction were made that it speaks of, from its footer; None: it has no rows."""
        if file.path not in self._spans:
            span = self._tried(file, lambda: (_span(file.topic, pq.read_metadata(file.path)),))
            if span is None:
                return None
            self._spans[file.path] = span[0]
        return self._spans[file.path]

    def newest_first(self, files: Iterable[LakeFile]) -> list[tuple[datetime, LakeFile]]:
        """Those with rows, by the newest prediction that each speaks of."""
        spans = [(span[1], str(file.path), file) for file in files if (span := self.span(file)) is not None]
        return [(newest, file) for newest, _, file in sorted(spans, key=lambda each: each[:2], reverse=True)]

    def table(self, file: LakeFile) -> pa.Table:
        """Its rows, kept while they fit: the next who asks wants most of them again."""
        if file.path in self._tables:
            self._tables.move_to_end(file.path)
            return self._tables[file.path]
        found = self._tried(file, lambda: read(file))
        if found is None:
            return SCHEMAS[file.topic].empty_table()
        table, self._spans[file.path] = found
        self._tables[file.path] = table
        self._cached_bytes += table.nbytes
        while len(self._tables) > 1 and self._cached_bytes > self._cache_bytes:
            _, oldest = self._tables.popitem(last=False)
            self._cached_bytes -= oldest.nbytes
        return table

    def rows_by_model(self, file: LakeFile) -> Mapping[str, int]:
        """How many rows of each model it has: of one column, and remembered."""
        if file.path not in self._counts:
            counts = self._tried(file, lambda: _rows_by_model(file.path))
            if counts is None:
                return {}
            self._counts[file.path] = counts
        return self._counts[file.path]

    def is_counted(self, file: LakeFile) -> bool:
        """Whether `rows_by_model` has its answer without opening it."""
        return file.path in self._counts or self._waits(file.path)

    def try_all_anew(self) -> None:
        """Nothing counts as unreadable that was not tried since."""
        self.unreadable.clear()
        self._again_s.clear()

    def _waits(self, path: Path) -> bool:
        return self._again_s.get(path, 0.0) > time.monotonic()

    def _tried(self, file: LakeFile, reading: Callable[[], _Read]) -> _Read | None:
        """What reading it gives; None: it cannot be read. Raises Interrupted."""
        if self.interrupted():
            raise Interrupted
        if self._waits(file.path):
            return None
        try:
            found = reading()
        except (OSError, ValueError, pa.ArrowException) as error:
            if file.path not in self.unreadable:
                log.warning(
                    "%s cannot be read and counts as empty: %s; bring it back from a copy, or move it away", file.path, error
                )
            self.unreadable[file.path] = str(error)
            self._again_s[file.path] = time.monotonic() + AGAIN_S
            return None
        self.unreadable.pop(file.path, None)
        return found

    def _forget(self, gone: Sequence[Path]) -> None:
        for path in gone:
            for known in cast(tuple[dict[Path, Any], ...], (self._spans, self._counts, self._again_s, self.unreadable)):
                known.pop(path, None)

    def _listing(self, folder: Path) -> _Listing:
        listing = self._listings.setdefault(folder, _Listing())
        listing.look(folder)
        return listing


def read(file: LakeFile) -> tuple[pa.Table, Span | None]:
    """Rows and span of a file. Raises OSError, and ValueError where it is none."""
    # For small files, threads take longer to wake than to read; and so does what reads many files as one.
    with pq.ParquetFile(file.path) as opened:
        table = opened.read(use_threads=opened.metadata.num_rows > THREADED_ROWS)
        span = _span(file.topic, opened.metadata)
    schema = SCHEMAS[file.topic]
    if table.schema.names != schema.names:  # older than a column
        table = pq.read_table(file.path, schema=schema)
    return table, span


class _Listing:
    """One directory: listed again only where it has changed since, and only what is new is looked at."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self.files: Sequence[LakeFile] = ()
        self.gone: list[Path] = []
        """Since the look before the last."""
        self.end = 0
        self._changed_ns = -1
        self._taken: frozenset[str] = frozenset()

    def look(self, folder: Path) -> None:
        try:
            changed_ns = folder.stat().st_mtime_ns
            if changed_ns == self._changed_ns:
                return
            with os.scandir(folder) as entries:
                self.names = frozenset(entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            self.names, self._changed_ns = frozenset(), -1
            return
        self._changed_ns = changed_ns if time.time_ns() - changed_ns > SETTLED_NS else -1

    def take(self, folder: Path, topic: str, partition: int, *, present: bool) -> None:
        """Make files of the names."""
        self.gone = []
        if self.names == self._taken:
            return
        lost = self._taken - self.names
        new = [
            LakeFile(path=folder / name, topic=topic, partition=partition, first_offset=first, end_offset=end, present=present)
            for first, end, name in in_order(self.names - self._taken)
        ]
        kept = [file for file in self.files if file.path.name not in lost] if lost else self.files
        self.gone = [folder / name for name in lost]
        self.files = sorted([*kept, *new], key=lambda file: (file.first_offset, file.end_offset))
        self.end = max((file.end_offset for file in self.files), default=0)
        self._taken = self.names


def _rows_by_model(path: Path) -> Mapping[str, int]:
    with pq.ParquetFile(path) as opened:
        models = opened.read(columns=["model"], use_threads=False)["model"]
    return {each["values"]: each["counts"] for each in models.value_counts().to_pylist()}


def _span(topic: str, footer: pq.FileMetaData) -> Span | None:
    if not footer.num_rows:
        return None
    column = footer.schema.names.index(MADE[topic])
    groups = [footer.row_group(group).column(column).statistics for group in range(footer.num_row_groups)]
    known = [group for group in groups if group is not None and group.has_min_max]
    # Without statistics a file may hold anything: it is read.
    return (min(group.min for group in known), max(group.max for group in known)) if len(known) == len(groups) else _ALWAYS
