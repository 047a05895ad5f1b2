"""Reads a whole topic up to its present end: for snapshots, routes, decisions and replays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from streams import topics
from streams.ports import LogReader, LogUnavailable, Message

BATCH: Final = 1_000
EARLIEST: Final = -2


def read_topic(reader: LogReader, topic: str, timeout_s: float) -> Iterator[Message]:
    """Every committed record of `topic` up to the end at the time of the call, partition by partition in order.

    Raises LogUnavailable when the end is not reached within `timeout_s` without progress.
    """
    places = [(topic, number) for number in range(topics.named(topic).partitions)]
    ends = reader.end_offsets(places)
    reader.assign(dict.fromkeys(places, EARLIEST))
    open_places = {place for place in places if ends[place] > 0}
    deadline = time.monotonic() + timeout_s
    while open_places:
        messages = reader.poll(0.05, BATCH)
        for message in messages:
            if message.offset < ends[(topic, message.partition)]:
                yield message
        if messages:
            deadline = time.monotonic() + timeout_s
        # A position past the end also covers markers, compacted tails and retention that emptied a partition.
        open_places = {place for place in open_places if reader.position(place) < ends[place]}
        if open_places and time.monotonic() > deadline:
            raise LogUnavailable(f"{topic}: no progress for {timeout_s:g} s before the end of {sorted(open_places)}")
