"""What commands read from the log: decisions and routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from config.settings import Settings
from homeostat.commands.output import Failure
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.codec import decode_json
from streams.events import Decided, Route
from streams.ports import LogUnavailable

READ_TIMEOUT_S: Final = 10.0

R = TypeVar("R", bound=msgspec.Struct)


def decisions(settings: Settings, model: str) -> list[Decided]:
    """Every decision about that model, oldest first."""
    found = [decision for decision in _records(settings, topics.DECISIONS, Decided) if decision.model == model]
    return sorted(found, key=lambda decision: (decision.partition, decision.offset))


def latest_decisions(settings: Settings) -> dict[str, Decided]:
    """The newest decision about every model."""
    newest: dict[str, Decided] = {}
    for decision in _records(settings, topics.DECISIONS, Decided):
        known = newest.get(decision.model)
        if known is None or decision.offset >= known.offset:
            newest[decision.model] = decision
    return newest


def routes(settings: Settings) -> dict[str, Route]:
    """The present route of every registered model."""
    newest: dict[str, Route] = {}
    for route in _records(settings, topics.ROUTES, Route):
        known = newest.get(route.model)
        if known is None or (route.incarnation, route.generation) > (known.incarnation, known.generation):
            newest[route.model] = route
    return dict(sorted(newest.items()))


def route_of(settings: Settings, model: str) -> Route:
    """The route of a model that must be registered. Raises Failure."""
    known = routes(settings)
    if model not in known:
        have = f"registered are: {', '.join(known)}" if known else "none is registered yet"
        raise Failure(f"no model {model!r}; {have}. Register it with `homeostat register {model} --data FILE --target COLUMN`.")
    return known[model]


@contextmanager
def decisions_from_now(settings: Settings) -> Iterator[Callable[[Callable[[Decided], bool], float], list[Decided]]]:
    """A follower of `decisions`: give it what ends the waiting and for how long; it gives what was decided until then."""
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        places = [(topics.DECISIONS, number) for number in range(topics.named(topics.DECISIONS).partitions)]
        reader.assign(reader.end_offsets(places))

        def follow(is_last: Callable[[Decided], bool], timeout_s: float) -> list[Decided]:
            seen: list[Decided] = []
            deadline = time.monotonic() + timeout_s
            while time.monotonic() < deadline:
                for message in reader.poll(0.1, 500):
                    seen.append(decode_json(message.value, Decided))
                if any(is_last(decision) for decision in seen):
                    break
            return seen

        yield follow
    finally:
        reader.close()


def _records(settings: Settings, topic: str, kind: type[R]) -> list[R]:
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        return [decode_json(message.value, kind) for message in read_topic(reader, topic, READ_TIMEOUT_S)]
    except LogUnavailable as error:
        raise Failure(
            f"the broker at {settings.bootstrap_servers} does not answer ({error}); see `homeostat status` and its log."
        ) from error
    finally:
        reader.close()
