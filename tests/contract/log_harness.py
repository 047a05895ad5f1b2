"""One face for the implementations of the log, so that one suite can ask all of them the same."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer, TopicPartition

from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.confluent_client import admin_client
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.kafka_python import KafkaPythonReader, KafkaPythonTransaction, KafkaPythonWriter
from streams.adapters.memory import MemoryReader, MemoryTransaction, MemoryWriter
from streams.adapters.memory_log import MemoryLog
from streams.adapters.topic_admin import create_topics
from streams.ports import FencedTransaction, LogReader, LogWriter, Message, Outgoing
from streams.topics import Topic

Settle = Callable[[bool], None]
"""Ends an open transaction: True commits, False aborts."""
RECORD_LIMIT = 64 * 1024
READ_S = 30.0


def new_topic(partitions: int = 4) -> Topic:
    """A topic of one test's own."""
    name = f"contract-{uuid.uuid4().hex[:12]}"
    return Topic(name=name, partitions=partitions, retention_bytes=-1, retention=None, max_record_bytes=RECORD_LIMIT)


@dataclass(frozen=True)
class MemoryHarness:
    """The twin in memory."""

    topic: Topic
    log: MemoryLog

    def reader(self) -> LogReader:
        return MemoryReader(self.log)

    def writer(self) -> LogWriter:
        return MemoryWriter(self.log)

    def narrow_writer(self) -> LogWriter:
        """One whose queue is soon full."""
        return MemoryWriter(self.log, queue_records=20)

    def transaction(self, transactional_id: str) -> FencedTransaction:
        return MemoryTransaction(self.log, transactional_id)

    def open_transaction(self, transactional_id: str, records: Sequence[Outgoing]) -> Settle:
        """Write records in a transaction that stays open."""
        owner = MemoryTransaction(self.log, transactional_id)
        owner.begin(1.0)
        owner.stage(records)
        return owner.settle

    def forget(self, partition: int, before: int) -> None:
        """As retention does."""
        self.log.forget((self.topic.name, partition), before)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The broker is away inside, and back after."""
        self.log.go_away()
        try:
            yield
        finally:
            self.log.come_back()

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class KafkaHarness:
    """A client on the real broker; transactions are always kafka-python's."""

    topic: Topic
    broker: EmbeddedBroker
    client: str
    opened: list[Any] = field(default_factory=list)

    def reader(self) -> LogReader:
        kind = ConfluentReader if self.client == "confluent" else KafkaPythonReader
        return self._kept(kind(self.broker.bootstrap_servers, timeout_s=3.0))

    def writer(self) -> LogWriter:
        kind = ConfluentWriter if self.client == "confluent" else KafkaPythonWriter
        return self._kept(kind(self.broker.bootstrap_servers))

    def narrow_writer(self) -> LogWriter:
        """One whose queue is soon full."""
        if self.client == "confluent":
            return self._kept(ConfluentWriter(self.broker.bootstrap_servers, queue_bytes=20 * 1024))
        return self._kept(KafkaPythonWriter(self.broker.bootstrap_servers, pending_limit=20))

    def transaction(self, transactional_id: str) -> FencedTransaction:
        return self._kept(KafkaPythonTransaction(self.broker.bootstrap_servers, transactional_id))

    def open_transaction(self, transactional_id: str, records: Sequence[Outgoing]) -> Settle:
        """Write records in a transaction that stays open; by a client that none of the adapters uses this way."""
        producer = Producer(
            {
                "bootstrap.servers": self.broker.bootstrap_servers,
                "transactional.id": transactional_id,
                "partitioner": "murmur2_random",
            }
        )
        producer.init_transactions(10.0)
        producer.begin_transaction()
        for record in records:
            place = {} if record.partition is None else {"partition": record.partition}
            producer.produce(record.topic, key=record.key, value=record.value, **place)
        producer.flush(10.0)
        return lambda commit: producer.commit_transaction(10.0) if commit else producer.abort_transaction(10.0)

    def forget(self, partition: int, before: int) -> None:
        """As retention does."""
        admin = admin_client(self.broker.bootstrap_servers)
        for done in admin.delete_records([TopicPartition(self.topic.name, partition, before)]).values():
            done.result(10.0)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The broker is killed before, and started again after."""
        self.broker.kill()
        try:
            yield
        finally:
            self.broker.start(timeout_s=120.0)

    def close(self) -> None:
        """Release every client that a test left."""
        for client in self.opened:
            client.close(1.0) if isinstance(client, ConfluentWriter | KafkaPythonWriter) else client.close()

    def _kept(self, client: Any) -> Any:
        self.opened.append(client)
        return client


Harness = MemoryHarness | KafkaHarness
NAMES = ("memory", "confluent", "kafka_python")


def make_harness(name: str, broker: EmbeddedBroker, topic: Topic) -> Harness:
    """The implementation of that name, with its topic made."""
    if name == "memory":
        return MemoryHarness(topic, MemoryLog(topics=[topic]))
    create_topics(broker.bootstrap_servers, topics=[topic])
    return KafkaHarness(topic, broker, name)


def read(reader: LogReader, count: int, timeout_s: float = READ_S) -> list[Message]:
    """Messages until there are so many, or the time is over."""
    deadline = time.monotonic() + timeout_s
    messages: list[Message] = []
    while len(messages) < count and time.monotonic() < deadline:
        messages += reader.poll(0.5, 1_000)
    return messages


def read_until(reader: LogReader, *values: bytes) -> list[Message]:
    """Messages until all these values came, with what came in the same polls; fails when they do not come."""
    deadline = time.monotonic() + READ_S
    messages: list[Message] = []
    while missing := set(values) - {message.value for message in messages}:
        assert time.monotonic() < deadline, f"{missing} did not come, only {[message.value[:20] for message in messages]}"
        messages += reader.poll(0.5, 1_000)
    return messages


def read_to_end(reader: LogReader, partition: tuple[str, int], end: int, timeout_s: float = READ_S) -> list[Message]:
    """All messages up to an end which the broker tells, now or soon: the markers of a transaction are written after its answer."""
    deadline = time.monotonic() + timeout_s
    messages: list[Message] = []
    while reader.position(partition) < end or reader.end_offsets([partition])[partition] < end:
        assert time.monotonic() < deadline, f"the reader stays at {reader.position(partition)}, wanted {end}"
        messages += reader.poll(0.2, 1_000)
    assert reader.position(partition) == reader.end_offsets([partition])[partition] == end
    return messages
