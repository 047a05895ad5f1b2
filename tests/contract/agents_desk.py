"""A registered model, its windows, and the agents' desk on an in-memory log."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from homeostat import agents
from homeostat.window_folder import WindowFolder
from streams import topics
from streams.adapters.memory import MemoryReader, MemoryWriter
from streams.adapters.memory_log import MemoryLog
from streams.adapters.prometheus import Meters
from streams.adapters.store import DirectoryStore
from streams.codec import decode_control, decode_json, encode_json, encode_msgpack
from streams.events import Control, DeadLettered, ModelRegistered, WindowCounted
from streams.policy import Policy
from streams.ports import LogReader, Message, Outgoing
from streams.profile import Profile
from streams.release import Release, encode
from tests.core.window_log import START, Windows, contract, known, profile

WINDOW_PLACES = tuple((topics.WINDOWS, number) for number in range(topics.named(topics.WINDOWS).partitions))
CONTROL_PLACES = tuple((topics.CONTROL, number) for number in range(topics.named(topics.CONTROL).partitions))
LETTER_PLACES = tuple((topics.DEAD_LETTERS, number) for number in range(topics.named(topics.DEAD_LETTERS).partitions))


def release_in(store: DirectoryStore, model: str, reference: Profile) -> str:
    """Digest of a release whose profile is this reference."""
    digest = store.put(encode(contract()))
    named = Release(
        model=model, artefact="a", format="xgboost-ubj", contract=digest, profile=store.put(encode(reference)), card="k", run="r"
    )
    return store.put(encode(named))


def registered(model: str, release: str, policy: Policy | None = None) -> Outgoing:
    """The record that makes a model known."""
    record = ModelRegistered(
        id=f"register {model}", at=START, model=model, actor="test", reason="", release=release, contract="c",
        policy=policy or known().policy,
    )  # fmt: skip
    return Outgoing(topic=topics.CONTROL, key=model.encode(), value=encode_json(record))


def outgoing(window: WindowCounted) -> Outgoing:
    """As the monitor writes it."""
    return Outgoing(topic=topics.WINDOWS, key=window.model.encode(), value=encode_msgpack(window))


def scenario(model: str, store: DirectoryStore) -> tuple[str, list[WindowCounted]]:
    """A release, and windows that make every kind of signal: burn-in and drift, a rollout, periods, a repeat."""
    rng = np.random.default_rng(21)
    release = release_in(store, model, profile(rng.normal(size=3_000)))
    cut = Windows(model)
    windows: list[WindowCounted] = []
    for hour in range(30):
        shift = 0.0 if hour < 8 else 1.5
        windows += [
            cut.features(rng.normal(shift, size=40), hours=hour, partition=hour % 3, release=release),
            cut.predictions(hour + 0.1, 5, release=release, partition=hour % 2),
            cut.labels(hour + 0.1, 5, at=hour + 0.9, wrong=hour % 3, release=release),
            cut.rollout(6, answered=3, failures=int(hour % 7 == 0)),
        ]
    return release, [*windows, windows[5]]


@dataclass(slots=True)
class Desk:
    """The in-memory twin: the same desk, brought its windows by a loop."""

    log: MemoryLog
    store: DirectoryStore
    stop: threading.Event = field(default_factory=threading.Event)
    meters: Meters = field(default_factory=lambda: Meters(CollectorRegistry()))

    def folder(self) -> WindowFolder:
        """A desk that begins as a new process does."""
        return agents.folder(
            windows=MemoryReader(self.log),
            control=MemoryReader(self.log),
            writer=MemoryWriter(self.log),
            store=self.store,
            meters=self.meters,
            stop=self.stop,
        )

    def write(self, *records: Outgoing) -> None:
        """Append to the log."""
        MemoryWriter(self.log).write(records, 1.0)

    def messages(self) -> list[Message]:
        """All windows in the log."""
        return read_all(MemoryReader(self.log), WINDOW_PLACES)

    def told(self) -> list[Control]:
        """What agents wrote to control."""
        return signals(MemoryReader(self.log))

    def letters(self) -> list[DeadLettered]:
        """What agents wrote to the dead letters."""
        return [decode_json(message.value, DeadLettered) for message in read_all(MemoryReader(self.log), LETTER_PLACES)]


def desk(directory: Path, log: MemoryLog) -> Desk:
    """An empty one."""
    return Desk(log=log, store=DirectoryStore(directory))


def read_all(reader: LogReader, places: tuple[tuple[str, int], ...]) -> list[Message]:
    """Everything up to the present end."""
    ends = reader.end_offsets(places)
    reader.assign(dict.fromkeys(places, -2))
    messages: list[Message] = []
    while any(reader.position(place) < ends[place] for place in places):
        messages += reader.poll(0.1, 1_000)
    return messages


def signals(reader: LogReader, model: str = "") -> list[Control]:
    """Records of control that agents wrote (under one model's key: on a shared broker others write rubbish on purpose)."""
    messages = [message for message in read_all(reader, CONTROL_PLACES) if model in ("", message.key.decode(errors="replace"))]
    records = [decode_control(message.value) for message in messages]
    return [one for one in records if one.actor == "agents" and model in ("", one.model)]
