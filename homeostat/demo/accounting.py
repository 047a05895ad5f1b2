"""Every event sent, found again by its id: in the lake, or among the dead letters with a reason."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from config.settings import Settings
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.adapters.lake import read_lake
from streams.codec import decode_json
from streams.events import DeadLettered

LOOK_EVERY_S: Final = 0.25
READ_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Ids that were acknowledged: of predictions by their answer, of labels by the 200 to them."""

    predictions: frozenset[str]
    labels: frozenset[str]

    @property
    def events(self) -> int:
        """All of them."""
        return len(self.predictions) + len(self.labels)


def accounted(settings: Settings, sent: Sent, timeout_s: float) -> int:
    """How many of the events sent are in the lake or among the dead letters; waits, bounded, for the last lake files."""
    deadline = time.monotonic() + timeout_s
    while True:
        predictions = _in_lake(settings, topics.PREDICTIONS, "id") & sent.predictions
        labels = _in_lake(settings, topics.LABELS, "prediction") & sent.labels
        found = len(predictions) + len(labels)
        if found == sent.events:
            return found
        if time.monotonic() > deadline:
            dead = _dead_letters(settings)
            predictions |= dead[topics.PREDICTIONS] & sent.predictions
            labels |= dead[topics.LABELS] & sent.labels
            return len(predictions) + len(labels)
        time.sleep(LOOK_EVERY_S)


def _in_lake(settings: Settings, topic: str, column: str) -> set[str]:
    found: set[str] = set()
    for partition in range(topics.named(topic).partitions):
        rows, _end = read_lake(settings.lake, topic, partition)
        found.update(rows[column].to_pylist())
    return found


def _dead_letters(settings: Settings) -> dict[str, set[str]]:
    """Per topic the keys of what was refused there; the key of a prediction and of its label is the prediction's id."""
    found: dict[str, set[str]] = {topics.PREDICTIONS: set(), topics.LABELS: set()}
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        for message in read_topic(reader, topics.DEAD_LETTERS, READ_S):
            letter = decode_json(message.value, DeadLettered)
            found.setdefault(letter.topic, set()).add(letter.key.decode(errors="replace"))
    finally:
        reader.close()
    return found
