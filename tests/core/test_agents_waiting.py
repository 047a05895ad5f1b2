"""What the agents wait for, and what ends their process: never a window lost to a store or log that is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from drift.adapters.faust_app import _Host
from drift.monitoring import State
from homeostat.model_knowledge import ModelKnowledge
from homeostat.patience import Patience
from homeostat.policy_book import SETTLED, PolicyBook
from streams import topics
from streams.adapters.memory import MemoryLog, MemoryReader, MemoryWriter
from streams.adapters.store import DirectoryStore
from streams.codec import encode_json
from streams.events import ModelRegistered, PolicySet
from streams.policy import Policy
from streams.ports import LogUnavailable, Message, Outgoing, PositionLost
from streams.release import Release, encode
from tests.core.window_log import START, Windows, contract, folded, known, profile, served_counts

FIRST = known().policy
SECOND = known(maturity_hours=5.0).policy


class BreakingStore(DirectoryStore):
    """Fails for each error once, then works."""

    errors: list[Exception]

    def get(self, digest: str) -> bytes:
        if self.errors:
            raise self.errors.pop()
        return super().get(digest)


class DroppingReader(MemoryReader):
    """Once, takes a batch and fails before giving it out."""

    dropping = False

    def poll(self, timeout_s: float, limit: int) -> Sequence[Message]:
        messages = super().poll(timeout_s, limit)
        if self.dropping and messages:
            self.dropping = False
            raise LogUnavailable("lost what was in hand")
        return messages


def register(policy: Policy, key: bytes = b"m") -> Outgoing:
    record = ModelRegistered(id="r", at=START, model="m", actor="test", reason="", release="r1", contract="c", policy=policy)
    return Outgoing(topic=topics.CONTROL, key=key, value=encode_json(record))


def set_policy(policy: Policy, key: bytes = b"m") -> Outgoing:
    record = PolicySet(id="p", at=START, model="m", actor="test", reason="", policy=policy)
    return Outgoing(topic=topics.CONTROL, key=key, value=encode_json(record))


def book_of(log: MemoryLog, *records: Outgoing) -> PolicyBook:
    MemoryWriter(log).write(records, 1.0)
    return PolicyBook(MemoryReader(log))


@pytest.mark.parametrize("error", [OSError("input/output error"), msgspec.DecodeError("cut off")])
def test_a_reference_that_cannot_be_read_now_is_waited_for(tmp_path: Path, error: Exception) -> None:
    """A disk that fails or a blob that is no release holds the window back; nothing escapes that would bury it."""
    store = BreakingStore(tmp_path)
    store.errors = []
    kept, reference = store.put(encode(contract())), store.put(encode(profile(np.random.default_rng(0).normal(size=3_000))))
    named = Release(model="m", artefact="a", format="xgboost-ubj", contract=kept, profile=reference, card="k", run="r")
    release = store.put(encode(named))
    store.errors = [error, error]
    book = book_of(MemoryLog(clock=lambda: START), register(FIRST))
    blocked: list[bool] = []
    knowledge = ModelKnowledge(book, store, Patience(threading.Event(), blocked.append))
    window = Windows().window("predictions", served=(served_counts(release, "champion", 1),))
    state = knowledge.informed(State(), window, START)
    assert state.models["m"].champion == release and state.models["m"].watch is not None
    assert blocked == [True, False]


@pytest.mark.parametrize("error", [PositionLost("gone"), OSError("disk"), LogUnavailable("away")])
def test_what_is_not_the_messages_fault_ends_the_process_and_buries_nothing(error: Exception) -> None:
    """The agent stands still, unacknowledged, until the application is stopped with that failure."""
    buried: list[Message] = []

    def handle(message: Message) -> None:
        raise error

    raw = SimpleNamespace(topic=topics.WINDOWS, partition=0, offset=7, timestamp=0.0, key=b"m", value=b"")

    async def events() -> AsyncIterator[Any]:
        yield SimpleNamespace(message=raw)

    desk: Any = SimpleNamespace(handle=handle, bury=lambda message, _: buried.append(message))
    host = _Host(desk, threading.Event(), 60.0)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(host._body(SimpleNamespace(events=events)), 0.3))
    assert host._failure is error and buried == []


def test_what_the_controller_refuses_changes_no_policy() -> None:
    """The model is registered once, with a policy that can be followed, and speaks under its own name."""
    log = MemoryLog(clock=lambda: START)
    bad = known(maturity_hours=-1.0).policy
    records = (register(SECOND, b"other"), register(bad), register(FIRST), register(SECOND), set_policy(SECOND, b"other"))
    assert book_of(log, *records).at("m", START + SETTLED).policy == FIRST
    assert book_of(log, set_policy(SECOND)).at("m", START + SETTLED).policy == SECOND


def test_a_batch_that_a_failing_reader_dropped_is_read_again() -> None:
    """After a failure in the middle the book begins anew, and knows every policy once."""
    log = MemoryLog(clock=lambda: START)
    MemoryWriter(log).write([register(FIRST)], 1.0)
    now = [0.0]
    reader = DroppingReader(log)
    book = PolicyBook(reader, clock=lambda: now[0])
    assert book.at("m", START + SETTLED).policy == FIRST
    MemoryWriter(log).write([set_policy(SECOND)], 1.0)
    now[0], reader.dropping = 5.0, True
    with pytest.raises(LogUnavailable):
        book.at("m", START + SETTLED)
    assert book.at("m", START + SETTLED).policy == SECOND
    assert book.at("m", START).policy == FIRST


def test_a_registration_that_is_no_longer_kept_leaves_the_policy_of_the_state(tmp_path: Path) -> None:
    """A year later `control` has forgotten it; the agents' snapshot has not."""
    stop = threading.Event()
    stop.set()  # would end any waiting
    knowledge = ModelKnowledge(book_of(MemoryLog()), DirectoryStore(tmp_path), Patience(stop, lambda _: None))
    state, _ = folded(State(), known(maturity_hours=5.0))
    window = Windows().predictions(0.1, 1)
    informed = knowledge.informed(state, window, START + timedelta(days=400))
    assert informed.models["m"].policy == SECOND
