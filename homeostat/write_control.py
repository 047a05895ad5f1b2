"""Writes one record that steers a model."""

from __future__ import annotations

from typing import Final

from config.settings import Settings
from streams import topics
from streams.adapters.confluent import ConfluentWriter
from streams.codec import encode_json
from streams.events import Steering
from streams.ports import Outgoing

TIMEOUT_S: Final = 10.0


def write_control(settings: Settings, record: Steering) -> None:
    """Write it to `control`; returns once the broker has it. Raises LogUnavailable."""
    writer = ConfluentWriter(settings.bootstrap_servers)
    try:
        writer.write([Outgoing(topic=topics.CONTROL, key=record.model.encode(), value=encode_json(record))], TIMEOUT_S)
    finally:
        writer.close(1.0)
