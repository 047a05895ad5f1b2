"""What agents tell that never died: the same fold over the same windows from their beginning, in this process, into a list."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry

from homeostat.agents import folder
from homeostat.chaos.crashes.site import Site
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.adapters.memory import MemoryReader, MemoryWriter
from streams.adapters.memory_log import MemoryLog
from streams.adapters.prometheus import Meters
from streams.codec import decode_control
from streams.partitioner import partition_of
from streams.ports import Message


class _NoSnapshots:
    """A reader for which the topic of snapshots is empty."""

    def __init__(self, reader: ConfluentReader) -> None:
        self._reader = reader

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        self._reader.assign(positions)

    def poll(self, timeout_s: float, limit: int) -> Sequence[Message]:
        return self._reader.poll(timeout_s, limit)

    def end_offsets(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        ends = self._reader.end_offsets(partitions)
        return {place: 0 if place[0] == topics.SNAPSHOTS else end for place, end in ends.items()}

    def position(self, partition: tuple[str, int]) -> int:
        return self._reader.position(partition)

    def close(self) -> None:
        self._reader.close()


def signals(site: Site, model: str) -> dict[str, bytes]:
    """By id, the records of `control` that the windows of a model come to, as far as there are windows now."""
    servers = site.settings.bootstrap_servers
    place = topics.WINDOWS, partition_of(model.encode(), topics.named(topics.WINDOWS).partitions)
    windows, control, kept = _NoSnapshots(ConfluentReader(servers)), ConfluentReader(servers), MemoryLog()
    try:
        desk = folder(
            windows=windows,
            control=control,
            writer=MemoryWriter(kept),
            store=site.store,
            meters=Meters(CollectorRegistry()),
            stop=threading.Event(),
        )
        desk.restore({place[1]: windows.end_offsets([place])[place]})
    finally:
        windows.close()
        control.close()
    told = [message.value for message in read_topic(MemoryReader(kept), topics.CONTROL, 0.0) if message.key == model.encode()]
    return {decode_control(value).id: value for value in told}
