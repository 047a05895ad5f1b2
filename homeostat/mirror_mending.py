"""Brings the mirror up to the log when a partition is led anew: a process may have died between its commit and the mirror."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from homeostat.control_fold import PartitionState
from homeostat.mirror import Mirror
from homeostat.mirror_writer import Change
from homeostat.read_topic import EARLIEST, Place, read_places
from streams import topics
from streams.codec import decode_json
from streams.events import Decided
from streams.ports import LogReader

FIRST_SPAN: Final = 256
"""Records from the end of a partition of `decisions` among which what the mirror missed is looked for first; then eight times more."""
TIMEOUT_S: Final = 10.0


def mend(mirror: Mirror, reader: LogReader, led: Mapping[int, PartitionState]) -> dict[int, list[Change]]:
    """Write what the mirror does not know of these partitions, just led; what the disk refuses is given back, by partition.

    Raises LogUnavailable.
    """
    marks = {partition: mirror.marked(partition) for partition, state in led.items() if state.models}
    # A mark beyond the log is of another log.
    since = {partition: 0 if mark > led[partition].offset else mark for partition, mark in marks.items()}
    behind = {partition: offset for partition, offset in since.items() if offset < led[partition].offset}
    missed = _decisions_since(reader, behind)
    refused: dict[int, list[Change]] = {}
    for partition in marks:
        state = led[partition]
        tried = [_refused(mirror, state, partition, name, missed[name]) for name in state.models]
        if found := [one for one in tried if one is not None]:
            refused[partition] = found
        else:
            mirror.mark(partition, state.offset)
    return refused


def _refused(mirror: Mirror, state: PartitionState, partition: int, name: str, decided: list[Decided]) -> Change | None:
    model = state.models[name]
    ids = mirror.kept_ids(model) if decided else frozenset()
    new = [one for one in decided if one.id not in ids]
    if not new and mirror.knows(model):
        return None
    kept = mirror.keep(model, partition=partition, offset=state.offset, decisions=new)
    return None if kept else Change(state=model, decisions=new)


def _decisions_since(reader: LogReader, since: Mapping[int, int]) -> dict[str, list[Decided]]:
    """By model, the decisions on records of `control` from these offsets on; a decision lies where its cause does."""
    found: dict[str, list[Decided]] = defaultdict(list)
    wanted: dict[Place, int] = {(topics.DECISIONS, partition): offset for partition, offset in since.items()}
    if not wanted:
        return found
    ends = reader.end_offsets(list(wanted))
    reader.assign(dict.fromkeys(wanted, EARLIEST))
    firsts = {place: reader.position(place) for place in wanted}
    span = FIRST_SPAN
    while wanted:
        starts = {place: max(firsts[place], ends[place] - span) for place in wanted}
        for place, decided in _read(reader, starts, ends).items():
            offset = wanted[place]
            if starts[place] > firsts[place] and min((one.offset for one in decided), default=offset) >= offset:
                continue  # it may begin further back
            del wanted[place]
            for one in decided:
                if one.offset >= offset:
                    found[one.model].append(one)
        span *= 8
    return found


def _read(reader: LogReader, starts: Mapping[Place, int], ends: Mapping[Place, int]) -> dict[Place, list[Decided]]:
    found: dict[Place, list[Decided]] = {place: [] for place in starts}
    for message in read_places(reader, starts, ends, TIMEOUT_S):
        found[message.topic, message.partition].append(decode_json(message.value, Decided, len(message.value)))
    return found
