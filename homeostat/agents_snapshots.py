"""The agents' own snapshots: the fold's state of one `windows` partition with the offset that it covers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from drift.monitoring import State
from homeostat.read_topic import EARLIEST, Place, read_places
from streams import topics
from streams.codec import Undecodable, decode_msgpack, encode_msgpack
from streams.events import Snapshot
from streams.ports import LogReader, LogWriter, Outgoing

FIRST_SPAN: Final = 256
"""Records from the end of a partition among which its snapshot is looked for first; eight times more each time."""
TIMEOUT_S: Final = 30.0
MAXIMUM_BYTES: Final = topics.named(topics.SNAPSHOTS).max_record_bytes

log = logging.getLogger("homeostat.agents")


def owner(partition: int) -> str:
    """Key and id of a partition's snapshot. It lies in the `snapshots` partition of the same number.

    >>> owner(3)
    'agents-3'
    """
    return f"agents-{partition}"


def save(writer: LogWriter, partition: int, *, offset: int, state: State, at: datetime, timeout_s: float) -> None:
    """Write the state that covers everything below `offset`. Raises LogUnavailable, RecordTooLarge."""
    record = Snapshot(
        id=owner(partition),
        at=at,
        model="",
        topic=topics.WINDOWS,
        partition=partition,
        offset=offset,
        state=msgspec.msgpack.encode(state),
    )
    value = encode_msgpack(record)
    writer.write(
        [Outgoing(topic=topics.SNAPSHOTS, key=owner(partition).encode(), value=value, partition=_place(partition)[1])], timeout_s
    )


def load(reader: LogReader, partitions: Sequence[int]) -> dict[int, tuple[int, State]]:
    """By partition, offset and state of the newest usable snapshot; none where there is none. Raises LogUnavailable.

    Looked for from the end backwards: the topic is compacted late, and most of it is old.
    """
    places = {_place(partition): partition for partition in partitions}
    ends = reader.end_offsets(list(places))
    reader.assign(dict.fromkeys(places, EARLIEST))
    firsts = {place: reader.position(place) for place in places}
    found: dict[int, tuple[int, State]] = {}
    wanted, span = dict(places), FIRST_SPAN
    while wanted:
        starts = {place: max(firsts[place], ends[place] - span) for place in wanted}
        for partition, snapshot in _newest(reader, wanted, starts, ends).items():
            found[partition] = snapshot
        wanted = {
            place: partition for place, partition in wanted.items() if partition not in found and starts[place] > firsts[place]
        }
        span *= 8
    return found


def _place(partition: int) -> Place:
    return topics.SNAPSHOTS, partition % topics.named(topics.SNAPSHOTS).partitions


def _newest(
    reader: LogReader, wanted: dict[Place, int], starts: dict[Place, int], ends: dict[Place, int]
) -> dict[int, tuple[int, State]]:
    found: dict[int, tuple[int, State]] = {}
    for message in read_places(reader, starts, ends, TIMEOUT_S):
        partition = wanted[(message.topic, message.partition)]
        if message.key == owner(partition).encode() and message.value:
            usable = _usable(message.value, partition)
            if usable is not None:
                found[partition] = usable
    return found


def _usable(value: bytes, partition: int) -> tuple[int, State] | None:
    try:
        record = decode_msgpack(value, Snapshot, MAXIMUM_BYTES)
        return record.offset, msgspec.msgpack.decode(record.state, type=State)
    except (Undecodable, msgspec.DecodeError) as error:
        log.warning(
            "a snapshot of windows-%d cannot be used (%s); an older one, or all windows kept, are read instead", partition, error
        )
        return None
