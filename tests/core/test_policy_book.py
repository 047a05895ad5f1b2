"""What people said of incidents reaches the fold by the log's clock: once, in time, and alike on every reading."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import numpy as np

from drift.monitoring import State
from homeostat.model_knowledge import ModelKnowledge
from homeostat.patience import Patience
from homeostat.policy_book import SETTLED, WORDS_KEPT, PolicyBook
from streams import topics
from streams.adapters.memory import MemoryLog, MemoryReader, MemoryWriter
from streams.adapters.store import DirectoryStore
from streams.codec import encode_json
from streams.events import AcceptChange, ReleaseQuarantine
from streams.ports import Outgoing
from tests.contract.agents_desk import registered, release_in
from tests.core.window_log import START, Windows, profile


def accept(feature: str, key: bytes = b"m") -> Outgoing:
    record = AcceptChange(id=f"accept {feature}", at=START, model="m", actor="ada", reason="so it is", feature=feature)
    return Outgoing(topic=topics.CONTROL, key=key, value=encode_json(record))


def let_go(incident: str) -> Outgoing:
    record = ReleaseQuarantine(id=f"release {incident}", at=START, model="m", actor="ada", reason="mended", incident=incident)
    return Outgoing(topic=topics.CONTROL, key=b"m", value=encode_json(record))


def test_words_settle_as_policies_do_and_are_handed_out_once() -> None:
    """Not before SETTLED; nothing up to what was heard; nothing under another key."""
    now = [START]
    log = MemoryLog(clock=lambda: now[0])
    writer = MemoryWriter(log)
    writer.write([registered("m", "r1"), accept("price"), accept("demand", key=b"other")], 1.0)
    now[0] = START + timedelta(seconds=10)
    writer.write([let_go("i1"), accept("period")], 1.0)
    book = PolicyBook(MemoryReader(log))
    assert book.at("m", START + SETTLED / 2).accepted == ()
    first = book.at("m", START + SETTLED)
    assert (first.accepted, first.released, first.heard_until) == (("price",), (), START)
    second = book.at("m", now[0] + SETTLED, first.heard_until)
    assert (second.accepted, second.released, second.heard_until) == (("period",), ("i1",), now[0])
    third = book.at("m", now[0] + 5 * SETTLED, second.heard_until)
    assert (third.accepted, third.released, third.heard_until) == ((), (), now[0])
    assert book.at("m", now[0] + SETTLED).accepted == ("price", "period"), "who begins anew hears all of it"


def test_words_are_bounded() -> None:
    """The newest are kept."""
    log = MemoryLog(clock=lambda: START)
    MemoryWriter(log).write([registered("m", "r1"), *(accept(f"f{number}") for number in range(WORDS_KEPT + 3))], 1.0)
    said = PolicyBook(MemoryReader(log)).at("m", START + SETTLED).accepted
    assert (len(said), said[0], said[-1]) == (WORDS_KEPT, "f3", f"f{WORDS_KEPT + 2}")


def test_a_word_reaches_the_triage_with_the_first_champion_and_once(tmp_path: Path) -> None:
    """Windows before anybody served hear nothing, so that it is not lost; afterwards the state does not change again."""
    log = MemoryLog(clock=lambda: START)
    store = DirectoryStore(tmp_path)
    rng = np.random.default_rng(0)
    release = release_in(store, "m", profile(rng.normal(size=3_000)))
    MemoryWriter(log).write([registered("m", release), accept("x")], 1.0)
    knowledge = ModelKnowledge(PolicyBook(MemoryReader(log)), store, Patience(threading.Event(), lambda _: None))
    cut = Windows()
    later = START + timedelta(minutes=1)
    state = knowledge.informed(State(), cut.labels(0.1, 1, at=0.2), later)
    assert state.models["m"].heard_until is None
    state = knowledge.informed(state, cut.features(rng.normal(size=30), release=release), later)
    assert state.models["m"].triage.accepted == {"x": (release,)}
    assert state.models["m"].heard_until == START
    assert knowledge.informed(state, cut.features(rng.normal(size=30), release=release), later) is state
