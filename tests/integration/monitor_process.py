"""Monitors as processes of their own on the real broker, and what they left in log and lake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config.settings import Settings, write
from homeostat.read_topic import read_topic
from streams.adapters.confluent import ConfluentReader
from streams.adapters.lake import read_lake
from streams.adapters.store import DirectoryStore
from streams.codec import decode_json, decode_msgpack
from streams.events import DeadLettered, WindowCounted
from streams.ports import Message
from streams.topics import DEAD_LETTERS, WINDOWS
from tests.core.traffic import Traffic
from tests.integration.role_process import wait_for

PARTITIONS: Final = 8

PROGRAM: Final = """
import logging, os, signal, sys, threading
from datetime import timedelta
from pathlib import Path
from config.settings import load
from homeostat.monitor import run
from streams.adapters import lake

def die_in_mid_file(path: Path, data: bytes) -> None:
    path.with_name("." + path.name + ".half").write_bytes(data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
logging.basicConfig(level=logging.INFO)
if sys.argv[2] == "die":
    lake.write_durably = die_in_mid_file
run(load(sys.argv[1], {}), stop, unknown_wait=timedelta(seconds=2))
"""


class MonitorProcess:
    """A monitor on a data directory. `dies`: it is killed by SIGKILL in the middle of its first lake file."""

    def __init__(self, settings: Settings, *, dies: bool = False) -> None:
        self.log = settings.root / "monitor.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, settings.data, "die" if dies else "live"],
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def alive(self) -> bool:
        """Still running; fails with its log when it ended by itself."""
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return True

    def close(self) -> None:
        """Stop it, at last by force."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10.0)


def prepare(root: Path, bootstrap_servers: str, traffic: Traffic, port: int) -> Settings:
    """A data directory with the traffic's key and releases; short ticks."""
    root.mkdir()
    settings = Settings(data=str(root), bootstrap_servers=bootstrap_servers, tick_ms=200, lake_tick_ms=1_000, monitor_port=port)
    write(settings)
    settings.secret_file.write_bytes(traffic.key)
    settings.secret_file.chmod(0o600)
    traffic.put(DirectoryStore(settings.store))
    return settings


def records(bootstrap_servers: str, topic: str) -> Iterator[Message]:
    """Everything in a topic now."""
    reader = ConfluentReader(bootstrap_servers)
    try:
        yield from read_topic(reader, topic, 20.0)
    finally:
        reader.close()


def windows(bootstrap_servers: str, model: str) -> list[WindowCounted]:
    """All windows of a model as published, repeats included."""
    found = (
        decode_msgpack(message.value, WindowCounted)
        for message in records(bootstrap_servers, WINDOWS)
        if message.key == model.encode()
    )
    return list(found)


def letters(bootstrap_servers: str, places: set[tuple[str, int]]) -> dict[tuple[str, int, int], DeadLettered]:
    """Dead letters of some partitions, by where their record stands (a monitor that was killed may write one again)."""
    found = {}
    for message in records(bootstrap_servers, DEAD_LETTERS):
        letter = decode_json(message.value, DeadLettered)
        if (letter.topic, letter.partition) in places:
            found[(letter.topic, letter.partition, letter.offset)] = letter
    return found


def accepted(published: list[WindowCounted]) -> list[WindowCounted]:
    """What a consumer accepts: the successor, each once. Fails on a hole, or where a repeat differs."""
    last: dict[tuple[str, int], int] = {}
    by_id: dict[str, WindowCounted] = {}
    for window in published:
        place = (window.topic, window.partition)
        if window.first_offset <= last.get(place, -1):
            assert window == by_id[window.id], "a repeat must be equal"
            continue
        assert window.previous_first_offset == last.get(place, -1), (
            f"a hole before {window.topic}-{window.partition} {window.first_offset}"
        )
        last[place] = window.first_offset
        by_id[window.id] = window
    return list(by_id.values())


def lake_rows(settings: Settings, topic: str, model: str) -> int:
    """Rows of a model in the lake."""
    tables = [read_lake(settings.lake, topic, partition)[0] for partition in range(PARTITIONS)]
    return sum(table["model"].to_pylist().count(model) for table in tables)


def lake_files(settings: Settings) -> dict[str, bytes]:
    """Lake files by name."""
    return {str(path.relative_to(settings.lake)): path.read_bytes() for path in settings.lake.rglob("*.parquet")}


def whole_in_lake(monitor: MonitorProcess, settings: Settings, model: str, rows: dict[str, int]) -> None:
    """Wait until the lake has every row of both topics."""

    def there() -> bool:
        return monitor.alive() and {topic: lake_rows(settings, topic, model) for topic in rows} == rows

    wait_for(there, f"the lake has {rows}", 60.0)
