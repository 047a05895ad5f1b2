"""What one run of the real loop left behind: its log and its run cards, read into memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from config.settings import Settings
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.store import DirectoryStore
from streams.codec import decode_control, decode_data_plane, decode_json
from streams.events import Control, Decided, Labelled, Predicted, RecallFinished, TrainingFinished
from streams.ports import LogReader, Message
from streams.release import BlobStore, load_release
from trainer.runcard import RunCard

READ_S: Final = 30.0
CANDIDATE: Final = "candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTaken:
    """Where a label stands, and when the broker took it."""

    partition: int
    offset: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLog:
    """One model's part of a log; `control` and `decided` are of every model. All times are wall clocks, the broker's but for `began`."""

    model: str
    control: tuple[Message, ...]
    """By partition, in order."""
    decided: tuple[Decided, ...]
    """By partition, in order."""
    decided_at: Mapping[str, datetime]
    """Decision to when the broker took it; `Decided.at` is when it took the cause."""
    began: Mapping[str, datetime]
    """Control record that tells a run's result to when that run began, by its run card."""
    tried_at: Mapping[str, tuple[datetime, ...]]
    """Release to when predictions came that carry its output as candidate, in time order."""
    labels: tuple[LabelTaken, ...]

    def decisions(self) -> Iterator[Decided]:
        """Those about the model, in order: a model has one partition."""
        return (decision for decision in self.decided if decision.model == self.model)


def kept_log(settings: Settings, model: str) -> LiveLog:
    """Read the log of a data directory whose system is stopped: its broker is started for as long. Raises what either does."""
    broker = EmbeddedBroker(settings.broker)
    broker.start()
    try:
        reader = ConfluentReader(broker.bootstrap_servers)
        try:
            return read_log(reader, DirectoryStore(settings.store), model)
        finally:
            reader.close()
    finally:
        broker.stop()


def read_log(reader: LogReader, store: BlobStore, model: str) -> LiveLog:
    """The parts of a log, to its present end. Raises LogUnavailable, BlobMissing."""
    key = model.encode()
    control = tuple(read_topic(reader, topics.CONTROL, READ_S))
    limit = topics.named(topics.DECISIONS).max_record_bytes
    decisions = [(m.broker_time, decode_json(m.value, Decided, limit)) for m in read_topic(reader, topics.DECISIONS, READ_S)]
    results = [decode_control(message.value) for message in control if message.key == key]
    return LiveLog(
        model=model,
        control=control,
        decided=tuple(decision for _, decision in decisions),
        decided_at={decision.id: at for at, decision in decisions},
        began=_began(results, store),
        tried_at=_tried_at(read_topic(reader, topics.PREDICTIONS, READ_S), model),
        labels=tuple(_labels(read_topic(reader, topics.LABELS, READ_S), model)),
    )


def _began(results: list[Control], store: BlobStore) -> dict[str, datetime]:
    """A recall that calls a release back, or none, makes no run card of its own."""
    cards = {one.id: one.card for one in results if isinstance(one, TrainingFinished)}
    cards |= {
        one.id: load_release(store, one.release).card for one in results if isinstance(one, RecallFinished) and one.challenger
    }
    read = {key: msgspec.json.decode(store.get(card), type=RunCard).created for key, card in cards.items()}
    return {key: created for key, created in read.items() if created is not None}


def _tried_at(predictions: Iterator[Message], model: str) -> dict[str, tuple[datetime, ...]]:
    found: dict[str, list[datetime]] = defaultdict(list)
    for message in predictions:
        record = decode_data_plane(message.value)
        if isinstance(record, Predicted) and record.model == model:
            for output in record.outputs:
                if output.arm == CANDIDATE and output.value is not None:
                    found[output.release].append(message.broker_time)
    return {release: tuple(sorted(times)) for release, times in found.items()}


def _labels(labels: Iterator[Message], model: str) -> Iterator[LabelTaken]:
    for message in labels:
        record = decode_data_plane(message.value)
        if isinstance(record, Labelled) and record.model == model:
            yield LabelTaken(partition=message.partition, offset=message.offset, at=message.broker_time)
