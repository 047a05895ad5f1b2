"""What is kept of input that could not be used: one shape and one set of bounds, whichever role refused it."""

from __future__ import annotations

from typing import Final

from streams.codec import LONGEST_DETAIL
from streams.events import DeadLettered, derived_id
from streams.ports import Message

KEPT_KEY_BYTES: Final = 1_024
KEPT_PAYLOAD_BYTES: Final = 64 * 1024


def model_named(message: Message) -> str:
    """The model that a record's key names, cut to a bounded length and readable whatever the bytes are."""
    return message.key[:KEPT_KEY_BYTES].decode(errors="replace")


def dead_letter(message: Message, reason: str, detail: str, *, model: str = "") -> DeadLettered:
    """The letter for one message. Its id derives from where the message stands, so refused twice is one letter."""
    return DeadLettered(
        id=derived_id(message.topic, message.partition, message.offset, "dead letter"),
        at=message.broker_time,
        model=model,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        reason=reason,
        detail=detail[:LONGEST_DETAIL],
        key=message.key[:KEPT_KEY_BYTES],
        payload=message.value[:KEPT_PAYLOAD_BYTES],
        payload_bytes=len(message.value),
    )
