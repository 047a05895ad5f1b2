"""What commands read from the log: decisions, routes, and the records of `control` behind them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import msgspec

from config.settings import Settings
from homeostat.commands.output import Failure, say
from homeostat.mirror import earlier_decisions
from homeostat.read_topic import read_topic
from serving.router import accepts
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.codec import Undecodable, decode_control, decode_json
from streams.events import Control, DeadLettered, Decided, Route
from streams.ports import LogReader, LogUnavailable, PositionLost

READ_TIMEOUT_S: Final = 10.0
READ_ON: Final = 2_000
"""Records that are rather read and passed over than jumped."""

R = TypeVar("R", bound=msgspec.Struct)
Place = tuple[int, int]
"""Partition and offset of a record of `control`."""


def decisions(settings: Settings, model: str) -> list[Decided]:
    """Every decision about that model, oldest first."""
    return decisions_by_model(settings).get(model, [])


def decisions_by_model(settings: Settings) -> dict[str, list[Decided]]:
    """Every decision by model, oldest first: those in the log, after those that the mirror kept of logs before a restore."""
    found: dict[str, list[Decided]] = defaultdict(list)
    for decision in _records(settings, topics.DECISIONS, Decided):
        found[decision.model].append(decision)
    for model, each in found.items():
        each.sort(key=lambda decision: (decision.partition, decision.offset))  # stable: of one record, as they were decided
        each[:0] = _before_a_restore(settings, model, each)
    return found


def _before_a_restore(settings: Settings, model: str, found: list[Decided]) -> list[Decided]:
    restored = next((decision for decision in found if decision.kind == "Restored"), None)
    if restored is None:
        return []
    return earlier_decisions(settings, model, int(restored.numbers["incarnation"]))


def latest_decisions(settings: Settings) -> dict[str, Decided]:
    """The newest decision about every model."""
    return {model: found[-1] for model, found in decisions_by_model(settings).items()}


def routes(settings: Settings) -> dict[str, Route]:
    """The present route of every registered model."""
    newest: dict[str, Route] = {}
    for route in _records(settings, topics.ROUTES, Route):
        known = newest.get(route.model)
        if accepts(known, route):
            newest[route.model] = route
    return dict(sorted(newest.items()))


def route_of(settings: Settings, model: str) -> Route:
    """The route of a model that must be registered. Raises Failure."""
    known = routes(settings)
    if model not in known:
        have = f"registered are: {', '.join(known)}" if known else "none is registered yet"
        raise Failure(f"no model {model!r}; {have}. Register it with `homeostat register {model} --data FILE --target COLUMN`.")
    return known[model]


def dead_letters(settings: Settings) -> list[DeadLettered]:
    """Every dead letter that is kept, and every mark of one sent again, oldest first."""
    return sorted(_records(settings, topics.DEAD_LETTERS, DeadLettered), key=lambda letter: letter.at)


def control_records(settings: Settings, places: Iterable[Place]) -> dict[Place, Control]:
    """The records of `control` at those places; those that are no longer kept, or are no records, are not among them."""
    by_partition: dict[int, set[int]] = defaultdict(set)
    for partition, offset in places:
        by_partition[partition].add(offset)
    found: dict[Place, Control] = {}
    with _reader(settings) as reader:
        for partition, offsets in by_partition.items():
            _read_places(reader, partition, sorted(offsets), found)
    return found


def _read_places(reader: LogReader, partition: int, offsets: list[int], found: dict[Place, Control]) -> None:
    place = (topics.CONTROL, partition)
    end = reader.end_offsets([place])[place]
    wanted, position = [offset for offset in offsets if offset < end], None
    deadline = time.monotonic() + READ_TIMEOUT_S
    while wanted and time.monotonic() < deadline:
        if position is None or wanted[0] > position + READ_ON:
            reader.assign({place: wanted[0]})
        try:
            messages = reader.poll(0.2, 500)
        except PositionLost:
            wanted, position = wanted[1:], None
            continue
        for message in messages:
            if message.offset in wanted:
                # What is no record was answered by a decision, and its bytes are in the dead letters.
                with suppress(Undecodable):
                    found[partition, message.offset] = decode_control(message.value)
        position = reader.position(place)
        wanted = [offset for offset in wanted if offset >= position]


@contextmanager
def _reader(settings: Settings) -> Iterator[ConfluentReader]:
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        yield reader
    except LogUnavailable as error:
        raise Failure(
            f"the broker at {settings.bootstrap_servers} does not answer ({error}); see `homeostat status` and its log."
        ) from error
    finally:
        reader.close()


def _records(settings: Settings, topic: str, kind: type[R]) -> list[R]:
    limit = topics.named(topic).max_record_bytes
    found, unreadable = [], 0
    with _reader(settings) as reader:
        for message in read_topic(reader, topic, READ_TIMEOUT_S):
            try:
                found.append(decode_json(message.value, kind, limit))
            except Undecodable:
                unreadable += 1
    if unreadable:
        say(f"{unreadable} records of {topic} cannot be read by this version, and are passed over", as_json=True)
    return found
