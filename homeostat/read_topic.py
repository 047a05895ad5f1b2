"""Reads topics, or parts of them, up to an end: for snapshots, routes, decisions and replays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from streams import topics
from streams.ports import LogReader, LogUnavailable, Message

BATCH: Final = 1_000
EARLIEST: Final = -2

Place: TypeAlias = tuple[str, int]
"""A partition of a topic."""


def read_topic(reader: LogReader, topic: str, timeout_s: float) -> Iterator[Message]:
    """Every committed record of `topic` up to the end at the time of the call, partition by partition in order.

    Raises LogUnavailable when the end is not reached within `timeout_s` without progress.
    """
    places = [(topic, number) for number in range(topics.named(topic).partitions)]
    ends = reader.end_offsets(places)
    return read_places(reader, dict.fromkeys(places, EARLIEST), ends, timeout_s)


def read_places(reader: LogReader, starts: Mapping[Place, int], ends: Mapping[Place, int], timeout_s: float) -> Iterator[Message]:
    """Every committed record of these partitions from their starts (as `assign` takes them) up to their ends. Raises as above."""
    reader.assign(starts)
    open_places = {place for place, start in starts.items() if ends[place] > max(start, 0)}
    deadline = time.monotonic() + timeout_s
    while open_places:
        messages = reader.poll(0.05, BATCH)
        for message in messages:
            if message.offset < ends[(message.topic, message.partition)]:
                yield message
        if messages:
            deadline = time.monotonic() + timeout_s
        # A position past the end also covers markers, compacted tails and retention that emptied a partition.
        open_places = {place for place in open_places if reader.position(place) < ends[place]}
        if open_places and time.monotonic() > deadline:
            raise LogUnavailable(f"no progress for {timeout_s:g} s before the end of {sorted(open_places)}")
