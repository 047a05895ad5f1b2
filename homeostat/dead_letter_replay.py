"""Sending dead letters again: the original bytes, to the original topic, with the original key, once.

A letter that was sent again is marked by another one of reason `replayed` that names it. Records and marks are written in
one transaction of one owner, so that a crash leaves both or neither, and of two people who do this at once one is fenced.
A record that is refused again makes a letter of its own: it lies at another offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from streams import topics
from streams.codec import encode_json
from streams.dead_letter import KEPT_KEY_BYTES
from streams.events import DeadLettered, derived_id
from streams.ports import FencedTransaction, Outgoing

OWNER: Final = "deadletters-replay"
"""Transactional id."""
REPLAYED: Final = "replayed"
BATCH: Final = 200
"""Letters in one transaction: 12 MiB at most."""
COMMIT_S: Final = 10.0
SOURCES: Final = (topics.PREDICTIONS, topics.LABELS, topics.WINDOWS, topics.CONTROL)
"""Topics that anyone but the controller writes; the others are not sent to by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter, and whether it was sent again."""

    letter: DeadLettered
    replayed: bool

    @property
    def model(self) -> str:
        """The model that it is about, as far as the letter or its bytes say."""
        return self.letter.model or _named_in(self.letter.payload)

    def refusal(self) -> str:
        """Why it cannot be sent again; '' when it can."""
        letter = self.letter
        if letter.topic not in SOURCES:
            return f"{letter.topic} is not a topic that is written by hand"
        if letter.payload_bytes > len(letter.payload):
            return f"only {len(letter.payload)} of its {letter.payload_bytes} bytes were kept"
        if len(letter.key) >= KEPT_KEY_BYTES:
            return f"its key has {KEPT_KEY_BYTES} bytes or more, and no more than that was kept"
        return ""


def letters(records: Iterable[DeadLettered]) -> list[Letter]:
    """Dead letters in their order, each once, with what the marks say of them."""
    known: dict[str, DeadLettered] = {}
    marked = set()
    for record in records:
        if record.reason == REPLAYED:
            marked.add(record.detail)
        else:
            known.setdefault(record.id, record)
    return [Letter(letter=letter, replayed=letter.id in marked) for letter in known.values()]


def send_again(transaction: FencedTransaction, chosen: Sequence[DeadLettered]) -> Iterator[int]:
    """Write them batch by batch; gives how many each batch was. Raises Fenced, LogUnavailable.

    `transaction` has begun before the letters were read: whoever did the same meanwhile is fenced.
    """
    for start in range(0, len(chosen), BATCH):
        batch = chosen[start : start + BATCH]
        # By key: where a record was refused for lying on the wrong partition, it now goes to the right one.
        again = [Outgoing(topic=letter.topic, key=letter.key, value=letter.payload) for letter in batch]
        marks = [
            Outgoing(
                topic=topics.DEAD_LETTERS, key=f"{letter.topic}-{letter.partition}".encode(), value=encode_json(_mark(letter))
            )
            for letter in batch
        ]
        transaction.commit([*again, *marks], COMMIT_S)
        yield len(batch)


def _mark(letter: DeadLettered) -> DeadLettered:
    return msgspec.structs.replace(
        letter, id=derived_id(letter.id, REPLAYED), reason=REPLAYED, detail=letter.id, payload=b"", payload_bytes=0
    )


class _Named(msgspec.Struct):
    model: str = ""


def _named_in(payload: bytes) -> str:
    try:
        return msgspec.json.decode(payload, type=_Named).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
