"""The agents as a process on the real broker, against the same fold brought its windows by an in-memory log."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from config.settings import Settings
from drift.monitoring import State
from homeostat import agents_snapshots
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.memory_log import MemoryLog
from streams.adapters.store import DirectoryStore
from streams.codec import encode_json
from streams.events import Control, WindowCounted
from tests.contract.agents_desk import WINDOW_PLACES, desk, outgoing, registered, scenario, signals
from tests.integration.role_process import RoleProcess, free_port, wait_for


class Office:
    """A model with a name of its own on the shared broker, and the processes that watch it."""

    def __init__(self, bootstrap: str, data: Path) -> None:
        self.model = f"agents-{uuid4().hex[:8]}"
        self.settings = Settings(data=str(data), bootstrap_servers=bootstrap, agents_port=free_port())
        self.release, self.windows = scenario(self.model, DirectoryStore(self.settings.store))
        self.writer, self.reader = ConfluentWriter(bootstrap), ConfluentReader(bootstrap)
        self.roles: list[RoleProcess] = []
        # Other tests' windows on this broker are none of this office's business.
        for place, end in self.reader.end_offsets(WINDOW_PLACES).items():
            agents_snapshots.save(self.writer, place[1], offset=end, state=State(), at=datetime.now(UTC), timeout_s=10.0)
        self.writer.write([registered(self.model, self.release)], 10.0)

    def start(self) -> RoleProcess:
        self.roles.append(RoleProcess("agents", self.settings))
        return self.roles[-1]

    def send(self, windows: list[WindowCounted]) -> None:
        self.writer.write([outgoing(window) for window in windows], 10.0)

    def position(self) -> dict:  # type: ignore[type-arg]  # the document as it is
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.settings.agents_port}/position", timeout=2.0) as answer:
                found: dict = json.load(answer)  # type: ignore[type-arg]  # the document as it is
                return found
        except OSError:
            return {}

    def wait_folded(self, windows: list[WindowCounted]) -> None:
        """Until the rows of these windows are folded (a repeat's rows are not counted)."""
        rows = {topic: sum({w.id: w.rows for w in windows if w.topic == topic}.values()) for topic in ("predictions", "labels")}
        wait_for(
            lambda: self.position().get("rows", {}).get(self.model) == rows, f"rows {rows}; there is {self.position()}", 60.0
        )

    def told(self) -> list[Control]:
        return signals(self.reader, self.model)

    def expected(self, directory: Path) -> dict[str, bytes]:
        """What the in-memory twin makes of the same windows."""
        twin = desk(directory, MemoryLog())
        twin.write(registered(self.model, scenario(self.model, twin.store)[0]), *map(outgoing, self.windows))
        folder = twin.folder()
        for message in twin.messages():
            folder.handle(message)
        return {record.id: encode_json(record) for record in twin.told()}

    def close(self) -> None:
        for role in self.roles:
            role.close()
        self.reader.close()
        self.writer.close(5.0)


@pytest.fixture
def office(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Office]:
    one = Office(broker.bootstrap_servers, tmp_path / "data")
    yield one
    one.close()


def test_faust_and_the_in_memory_twin_tell_the_same(office: Office, tmp_path: Path) -> None:
    """Same windows, same records in the same order, each once; the process listens on loopback only and stops at a word."""
    role = office.start()
    office.send(office.windows)
    office.wait_folded(office.windows)
    told = office.told()
    assert {record.id: encode_json(record) for record in told} == office.expected(tmp_path / "twin")
    assert [record.id for record in told] == list(office.expected(tmp_path / "twin2"))
    listening = [c.laddr for c in psutil.Process(role.process.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", office.settings.agents_port)]
    asked = time.monotonic()
    role.signal(signal.SIGTERM)
    assert role.wait_end(15.0) == 0
    assert time.monotonic() - asked < 8.0


def test_killed_in_the_middle_nothing_is_lost_and_nothing_told_differently(office: Office, tmp_path: Path) -> None:
    """SIGKILL while windows come, and again after: every record of the twin is there; one id never means two records."""
    first = office.start()
    office.send(office.windows[:60])
    wait_for(lambda: len(office.told()) >= 5, "some records before the kill", 60.0)
    office.send(office.windows[60:80])
    first.signal(signal.SIGKILL)
    first.wait_end()
    second = office.start()
    office.wait_folded(office.windows[:80])
    second.signal(signal.SIGKILL)
    second.wait_end()
    office.send(office.windows[80:])
    office.start()
    office.wait_folded(office.windows)
    expected, told = office.expected(tmp_path / "twin"), office.told()
    assert {record.id for record in told} == set(expected)
    assert all(encode_json(record) == expected[record.id] for record in told)
