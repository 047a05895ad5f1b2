"""Predictions of labels, found in the lake by identity and time; what was opened lately is kept."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import pyarrow as pa

from homeostat.challenger_rows import Served
from streams.events import ArmOutput
from streams.topics import PREDICTIONS, named
from trainer.adapters.lake_files import LakeFile, LakeFiles
from trainer.adapters.logged_rows import Key, keys_of, predictions_of

INDEXED_ROWS: Final = 500_000
"""Rows whose place in their file is kept in memory (about 200 bytes each); the bytes of the files are the lake's to bound."""
ABOUT: Final = timedelta(seconds=1)
"""A label knows when its prediction was made less exactly than the prediction."""
OLDER_FILES: Final = 100
"""After so many files in a row that end before the oldest row wanted, none further back is looked for: event time is in order
only roughly, and how roughly cannot be told in hours (a replay sends days in a moment)."""
CHAMPION: Final = "champion"

_Index: TypeAlias = Mapping[str, Mapping[Key, int]]
"""By model."""
_outputs = msgspec.json.Decoder(tuple[ArmOutput, ...]).decode


class ServedRows:
    """Looks where the label lies first: a label has the key of its prediction, so that mostly both have the same partition."""

    def __init__(self, lake: LakeFiles) -> None:
        self._lake = lake
        self._indices: OrderedDict[Path, _Index] = OrderedDict()
        self._indexed = 0

    def find(self, model: str, wanted: Mapping[Key, datetime], partition: int) -> dict[Key, Served]:
        """What was served for these identities, each predicted about then; some may be missing. Raises OSError.

        Of copies of a prediction in one partition the first counts, as in a training's dataset.
        """
        found: dict[Key, Served] = {}
        missing = dict(wanted)
        partitions = range(named(PREDICTIONS).partitions)
        for number in (partition, *(one for one in partitions if one != partition)):
            if not missing:
                break
            for file in self._about(number, missing):
                for key, served in self._in(file, model, missing):
                    known = found.get(key)
                    if known is None or served.prediction.offset < known.prediction.offset:
                        found[key] = served
            missing = {key: at for key, at in missing.items() if key not in found}
        return found

    def _about(self, partition: int, missing: Mapping[Key, datetime]) -> Iterator[LakeFile]:
        """Files that may hold one of them, newest first."""
        times = sorted(missing.values())
        older = 0
        for file in reversed(self._lake.listed(PREDICTIONS, partition)):
            span = self._lake.span(file)
            if span is None:
                continue
            older = older + 1 if span[1] < times[0] - ABOUT else 0
            if older >= OLDER_FILES:
                return
            place = bisect_left(times, span[0], key=lambda at: at + ABOUT)
            if place < len(times) and times[place] - ABOUT <= span[1]:
                yield file

    def _in(self, file: LakeFile, model: str, missing: Mapping[Key, datetime]) -> list[tuple[Key, Served]]:
        index = self._index(file).get(model, {})
        places = sorted(index[key] for key in missing if key in index)
        if not places:
            return []
        table = self._lake.table(file).take(pa.array(places))
        table = table.combine_chunks()
        rows = predictions_of([(file.partition, table)], set(keys_of(table)))
        answers = (champion_said(text) for text in table["outputs"].to_pylist())
        return [
            ((row.epoch, row.seq), Served(prediction=row, champion=champion, value=value))
            for row, (champion, value) in zip(rows, answers, strict=True)
        ]

    def _index(self, file: LakeFile) -> _Index:
        if file.path in self._indices:
            self._indices.move_to_end(file.path)
            return self._indices[file.path]
        table = self._lake.table(file)
        index: dict[str, dict[Key, int]] = {}
        for place, (model, key) in enumerate(zip(table["model"].to_pylist(), keys_of(table), strict=True)):
            index.setdefault(model, {}).setdefault(key, place)  # rows lie in the order of their offsets
        if file.path in self._lake.unreadable:
            return index
        self._indices[file.path] = index
        self._indexed += _rows(index)
        while len(self._indices) > 1 and self._indexed > INDEXED_ROWS:
            _, oldest = self._indices.popitem(last=False)
            self._indexed -= _rows(oldest)
        return index


def _rows(index: _Index) -> int:
    return sum(len(keys) for keys in index.values())


def champion_said(text: str) -> tuple[str, float | None]:
    """The release that the row had as champion, and what that said; a failed or late answer says nothing."""
    return next(((output.release, output.value) for output in _outputs(text) if output.arm == CHAMPION), ("", None))
