"""Everything on the log but the data plane, read on from where the last look ended; each record is decoded once."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.codec import decode_control, decode_json, decode_msgpack
from streams.events import Control, DeadLettered, Decided, Route, WindowCounted
from streams.partitioner import partition_of
from streams.ports import Message

TOPICS: Final = (topics.CONTROL, topics.DECISIONS, topics.ROUTES, topics.WINDOWS, topics.DEAD_LETTERS)
PLACES: Final = tuple((topic, number) for topic in TOPICS for number in range(topics.named(topic).partitions))
BATCH: Final = 10_000


class LogView:
    """Committed records by model, in the order of their partition."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._reader = ConfluentReader(bootstrap_servers)
        self._reader.assign(dict.fromkeys(PLACES, -2))
        self._messages: dict[int, list[Message]] = defaultdict(list)
        self._control: dict[str, list[Control]] = defaultdict(list)
        self._decisions: dict[str, list[Decided]] = defaultdict(list)
        self._routes: dict[str, list[Route]] = defaultdict(list)
        self._windows: dict[str, list[WindowCounted]] = defaultdict(list)
        self._letters: list[DeadLettered] = []

    def look(self) -> LogView:
        """Read what is there by now."""
        while messages := self._reader.poll(0.0, BATCH):
            for message in messages:
                self._take(message)
        return self

    def whole(self) -> LogView:
        """Read up to the ends as they are now."""
        ends = self._reader.end_offsets(PLACES)
        while any(self._reader.position(place) < end for place, end in ends.items()):
            for message in self._reader.poll(0.05, BATCH):
                self._take(message)
        return self

    def control(self, model: str) -> list[Control]:
        """The model's records, as written."""
        return self._control[model]

    def decisions(self, model: str) -> list[Decided]:
        """What was decided on it."""
        return self._decisions[model]

    def kinds(self, model: str) -> list[str]:
        """The kinds of that."""
        return [decision.kind for decision in self._decisions[model]]

    def routes(self, model: str) -> list[Route]:
        """Its routes, oldest first."""
        return self._routes[model]

    def windows(self, model: str) -> list[WindowCounted]:
        """Its windows as published, repeats included."""
        return self._windows[model]

    def dead_letters(self, topic: str) -> list[DeadLettered]:
        """Those of records of a topic."""
        return [letter for letter in self._letters if letter.topic == topic]

    def beside(self, model: str) -> tuple[list[Message], list[Decided]]:
        """All records of the partition of `control` on which the model lies, and all decisions on them."""
        number = _partition(model)
        others = [decision for found in self._decisions.values() for decision in found if decision.partition == number]
        return self._messages[number], others

    def close(self) -> None:
        """Release the client."""
        self._reader.close()

    def _take(self, message: Message) -> None:
        model = message.key.decode(errors="replace")
        match message.topic:
            case topics.CONTROL:
                self._messages[message.partition].append(message)
                self._control[model].append(decode_control(message.value))
            case topics.DECISIONS:
                self._decisions[model].append(decode_json(message.value, Decided))
            case topics.ROUTES:
                self._routes[model].append(decode_json(message.value, Route))
            case topics.WINDOWS:
                self._windows[model].append(decode_msgpack(message.value, WindowCounted))
            case _:
                self._letters.append(decode_json(message.value, DeadLettered))


def _partition(model: str) -> int:
    return partition_of(model.encode(), topics.named(topics.CONTROL).partitions)
