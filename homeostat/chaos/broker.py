"""The in-memory log with simulated time, and what is read of it decoded once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from streams import topics
from streams.adapters.memory_log import MemoryLog
from streams.codec import encode_json
from streams.events import Control, Decided, Route
from streams.partitioner import partition_of
from streams.ports import Message, Outgoing

CONTROL_PARTITIONS: Final = topics.named(topics.CONTROL).partitions
_decided: Final = msgspec.json.Decoder(Decided)
_route: Final = msgspec.json.Decoder(Route)


class Broker:
    """One log, its clock, and the number of the step. `say`: where the schedule is told, if anywhere."""

    def __init__(self, start: datetime, models: tuple[str, ...], say: Callable[[str], None] | None = None) -> None:
        self.now = start
        self.step = 0
        self.log = MemoryLog(clock=lambda: self.now)
        self.partitions = {model: partition_of(model.encode(), CONTROL_PARTITIONS) for model in models}
        self.homes = tuple(sorted(set(self.partitions.values())))
        """Partitions of the models."""
        self.numbers = (*self.homes, (self.homes[-1] + 1) % CONTROL_PARTITIONS)
        """... and one on which nothing is right."""
        self._say = say
        self._decisions: dict[tuple[int, int], Decided] = {}

    def passes(self, time: timedelta) -> None:
        """Simulated time goes on."""
        self.now += time

    def say(self, who: str, what: str, *parts: object) -> None:
        """Tell the schedule; nothing is formatted unless somebody listens."""
        if self._say is not None:
            self._say(f"{self.step:3d} {self.now:%d %H:%M:%S} {who}: {what.format(*parts)}")

    def read(self, topic: str, number: int, position: int, limit: int = 1_000) -> tuple[list[Message], int]:
        """Committed messages from a position, and where to go on."""
        return self.log.read((topic, number), position, limit)

    def control(self, record: Control) -> Outgoing:
        """The message that carries a record of `control`."""
        return Outgoing(
            topic=topics.CONTROL, key=record.model.encode(), value=encode_json(record), partition=self.partitions[record.model]
        )

    def decision(self, message: Message) -> Decided:
        """What a message of `decisions` holds."""
        place = message.partition, message.offset
        if place not in self._decisions:
            self._decisions[place] = _decided.decode(message.value)
        return self._decisions[place]

    @staticmethod
    def route(message: Message) -> Route:
        """What a message of `routes` holds."""
        return _route.decode(message.value)
