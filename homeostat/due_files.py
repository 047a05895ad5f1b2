"""Which finished label files a model's challenger takes next: what is new of all partitions at once, each partition in order.

A file waits while its predictions are not all in the lake, a few lake ticks at most, and holds back those behind it. Files that
have nothing of the model are passed over.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from homeostat.challenger_rows import LabelRows, Served
from homeostat.challenger_start import PARTITIONS, place_of
from homeostat.served_rows import ServedRows
from streams.topics import LABELS, PREDICTIONS
from trainer.adapters.lake_files import LakeFile, LakeFiles
from trainer.adapters.logged_rows import EPOCH, Key, keys_of, labels_of

GROUP_ROWS: Final = 20_000
"""Label rows after which no further file is taken at once."""
GROUP_FILES: Final = 256
"""Files after which no further one is looked at in the same step."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

_Due: TypeAlias = tuple[datetime, int, int, LakeFile]
"""Newest prediction that it speaks of, partition, end offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Files to be taken together, what was served of their rows, and what is covered then."""

    files: tuple[LabelRows, ...]
    served: Mapping[Key, Served]
    covers: dict[str, int]
    more: bool
    """There may be more at once."""
    unreadable: int
    """Labels, of whichever models, in files passed over because they cannot be read."""


@dataclass(slots=True)
class _Wait:
    until_s: float
    looked_at: tuple[int, ...] = ()
    """How many prediction files there were when it was looked last."""


class DueFiles:
    """Of one model."""

    def __init__(self, model: str, lake: LakeFiles, served: ServedRows, *, wait_s: float, clock: Callable[[], float]) -> None:
        self._model = model
        self._lake = lake
        self._served = served
        self._wait_s = wait_s
        self._clock = clock
        self._waits: dict[tuple[int, int], _Wait] = {}

    def count(self, covers: Mapping[str, int]) -> int:
        """Files that are not taken yet, of whichever model."""
        return sum(len(self._behind(partition, covers)) for partition in PARTITIONS)

    def group(self, covers: Mapping[str, int]) -> Group:
        """What is to be taken now, perhaps nothing. Raises OSError."""
        now = dict(covers)
        files: list[LabelRows] = []
        served: dict[Key, Served] = {}
        present = tuple(len(self._lake.listed(PREDICTIONS, partition)) for partition in PARTITIONS)
        held_back: set[int] = set()
        rows = looked_at = unreadable = 0
        more = False
        self._begin_waits(covers)
        for _, partition, _, file in heapq.merge(*(self._due(partition, covers, held_back) for partition in PARTITIONS)):
            wait = self._waits[partition, file.end_offset]
            looked_at += 1
            mine, times = self._of_model(file, covers)
            if file.path in self._lake.unreadable:
                if self._clock() < wait.until_s:
                    held_back.add(partition)
                    continue
                unreadable += file.end_offset - file.first_offset
            if mine is not None:
                found = self._found(mine, times, present, wait)
                if found is None:
                    held_back.add(partition)
                    continue
                served.update(found)
                files.append(mine)
                rows += len(mine.labels)
            now[place_of(partition)] = file.end_offset
            if rows >= GROUP_ROWS or looked_at >= GROUP_FILES:
                more = True
                break
        self._waits = {key: wait for key, wait in self._waits.items() if now.get(place_of(key[0]), 0) < key[1]}
        return Group(files=tuple(files), served=served, covers=now, more=more, unreadable=unreadable)

    def _begin_waits(self, covers: Mapping[str, int]) -> None:
        """All at once: what is lost for many files is not waited for one file after the other."""
        for partition in PARTITIONS:
            for file in self._behind(partition, covers):
                self._waits.setdefault((partition, file.end_offset), _Wait(self._clock() + self._wait_s))

    def _behind(self, partition: int, covers: Mapping[str, int]) -> list[LakeFile]:
        """From the newest back, so that a long lake costs nothing."""
        covered = covers.get(place_of(partition), 0)
        behind = []
        for file in reversed(self._lake.listed(LABELS, partition)):
            if not file.present or file.end_offset <= covered:
                break
            behind.append(file)
        behind.reverse()
        return behind

    def _due(self, partition: int, covers: Mapping[str, int], held_back: AbstractSet[int]) -> Iterator[_Due]:
        """Asked for the next only when the one before is dealt with: behind one held back, none is opened."""
        for file in self._behind(partition, covers):
            if partition in held_back:
                return
            self._lake.table(file)  # wanted next, and its footer with it
            span = self._lake.span(file)
            yield _NEVER if span is None else span[1], partition, file.end_offset, file

    def _of_model(self, file: LakeFile, covers: Mapping[str, int]) -> tuple[LabelRows | None, dict[Key, datetime]]:
        """Its labels in the file, None where there are none, and about when each row was predicted."""
        table = self._lake.table(file)
        new = pc.greater_equal(table["offset"], covers.get(place_of(file.partition), 0))
        rows = table.filter(pc.and_(pc.equal(table["model"], self._model), new))
        if not rows.num_rows:
            return None, {}
        keys = keys_of(rows)
        mine = LabelRows(
            partition=file.partition,
            first_offset=file.first_offset,
            end_offset=file.end_offset,
            labels=tuple(labels_of([(file.partition, rows)], set(keys))),
        )
        # By hand: Arrow makes each time zone anew.
        times = (EPOCH + timedelta(microseconds=us) for us in rows["predicted_at"].cast(pa.int64()).to_pylist())
        return mine, dict(zip(keys, times, strict=True))

    def _found(
        self, file: LabelRows, times: Mapping[Key, datetime], present: tuple[int, ...], wait: _Wait
    ) -> dict[Key, Served] | None:
        """What was served of its rows; None: it waits for more."""
        over = self._clock() >= wait.until_s
        if wait.looked_at == present and not over:
            return None
        wait.looked_at = present
        found = self._served.find(self._model, times, file.partition)
        return found if len(found) == len(times) or over else None
