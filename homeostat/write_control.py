"""Writes records that steer models."""

from __future__ import annotations

from typing import Final

from config.settings import Settings
from streams import topics
from streams.adapters.confluent import ConfluentWriter
from streams.codec import encode_json
from streams.events import Steering
from streams.ports import Outgoing

TIMEOUT_S: Final = 10.0


def write_control(settings: Settings, *records: Steering) -> None:
    """Write them to `control`, all at once; returns when the broker has them. Raises LogUnavailable."""
    writer = ConfluentWriter(settings.bootstrap_servers)
    try:
        writer.write(steering(*records), TIMEOUT_S)
    finally:
        writer.close(1.0)


def steering(*records: Steering) -> list[Outgoing]:
    """The records as `control` takes them."""
    return [Outgoing(topic=topics.CONTROL, key=record.model.encode(), value=encode_json(record)) for record in records]
