"""Fixtures for everybody: one real broker for the whole run, and the in-memory log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.memory_log import MemoryLog
from streams.adapters.topic_admin import create_topics


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A real broker with all topics, shared by all tests: use ids of your own, and start it again if you kill it."""
    directory: Path = tmp_path_factory.mktemp("broker")
    running = EmbeddedBroker(directory)
    running.start(timeout_s=120.0)
    try:
        create_topics(running.bootstrap_servers)
        yield running
    finally:
        running.stop()


@pytest.fixture
def memory_log() -> MemoryLog:
    """An empty broker in memory with all topics."""
    return MemoryLog()
