"""What every implementation of the log keeps: the twin in memory, confluent-kafka, kafka-python."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.kafka_python import KafkaPythonWriter
from streams.adapters.topic_admin import create_topics
from streams.partitioner import partition_of
from streams.ports import Fenced, LogUnavailable, LogWriter, Outgoing, PositionLost, RecordTooLarge
from streams.topics import Topic
from tests.contract.log_harness import (
    NAMES,
    RECORD_LIMIT,
    Harness,
    KafkaHarness,
    make_harness,
    new_topic,
    read,
    read_to_end,
    read_until,
)

WRITE_S = 15.0


@pytest.fixture(params=NAMES)
def harness(request: pytest.FixtureRequest, broker: EmbeddedBroker) -> Iterator[Harness]:
    """One implementation with a topic of this test's own."""
    made = make_harness(request.param, broker, new_topic())
    yield made
    made.close()


def outgoing(topic: Topic, *values: str, partition: int | None = 0) -> list[Outgoing]:
    """Records whose key and value are the same."""
    return [Outgoing(topic=topic.name, key=value.encode(), value=value.encode(), partition=partition) for value in values]


def test_a_partition_keeps_the_order_of_writing(harness: Harness) -> None:
    topic = harness.topic
    records = [
        Outgoing(topic=topic.name, key=b"", value=f"{number % 4}:{number}".encode(), partition=number % 4)
        for number in range(400)
    ]
    harness.writer().write(records, WRITE_S)
    reader = harness.reader()
    reader.assign({(topic.name, partition): -2 for partition in range(4)})
    messages = read(reader, 400)
    for partition in range(4):
        mine = [message for message in messages if message.partition == partition]
        assert [message.value for message in mine] == [record.value for record in records if record.partition == partition]
        assert [message.offset for message in mine] == list(range(100))


def test_what_is_read_is_what_was_written_with_the_brokers_time(harness: Harness) -> None:
    topic = harness.topic
    before = datetime.now(UTC) - timedelta(seconds=1)
    values = [bytes(range(256)), b"", b"x" * 60_000]
    harness.writer().write([Outgoing(topic=topic.name, key=b"\x00k", value=value, partition=1) for value in values], WRITE_S)
    reader = harness.reader()
    reader.assign({(topic.name, 1): 0})
    messages = read(reader, 3)
    assert [message.value for message in messages] == values
    assert {(message.topic, message.key) for message in messages} == {(topic.name, b"\x00k")}
    times = [message.broker_time for message in messages]
    assert times == sorted(times)
    assert before < times[0] <= datetime.now(UTC) + timedelta(seconds=1)
    assert times[0].utcoffset() == timedelta(0)
    assert times[0].microsecond % 1000 == 0


def test_a_reader_starts_where_it_is_told(harness: Harness) -> None:
    topic = harness.topic
    here = (topic.name, 0)
    writer = harness.writer()
    writer.write(outgoing(topic, "a", "b", "c"), WRITE_S)
    reader = harness.reader()
    reader.assign({here: -1})
    assert reader.position(here) == 3
    writer.write(outgoing(topic, "d"), WRITE_S)
    assert [message.value for message in read(reader, 1)] == [b"d"]
    reader.assign({here: 1})
    assert [message.value for message in read(reader, 3)] == [b"b", b"c", b"d"]
    reader.assign({here: -2})
    assert reader.position(here) == 0
    assert [message.value for message in read(reader, 4)] == [b"a", b"b", b"c", b"d"]
    assert reader.position(here) == 4


def test_a_poll_returns_as_soon_as_there_is_something_and_never_more_than_asked(harness: Harness) -> None:
    topic = harness.topic
    harness.writer().write(outgoing(topic, *"abcdefgh"), WRITE_S)
    reader = harness.reader()
    reader.assign({(topic.name, 0): 0})
    started = time.monotonic()
    first = reader.poll(10.0, 3)
    assert time.monotonic() - started < 5.0
    assert 1 <= len(first) <= 3
    assert len(first) + len(read(reader, 8 - len(first))) == 8
    started = time.monotonic()
    assert list(reader.poll(0.3, 3)) == []
    assert 0.2 < time.monotonic() - started < 3.0


def test_the_end_is_asked_of_the_broker_now(harness: Harness) -> None:
    topic = harness.topic
    partitions = [(topic.name, number) for number in range(4)]
    reader = harness.reader()
    assert reader.end_offsets(partitions) == dict.fromkeys(partitions, 0)
    harness.writer().write(outgoing(topic, "a", "b", partition=2), WRITE_S)
    assert reader.end_offsets(partitions) == {**dict.fromkeys(partitions, 0), (topic.name, 2): 2}
    assert reader.end_offsets([]) == {}


def test_an_offset_that_is_no_longer_kept_is_an_error_and_not_a_leap(harness: Harness) -> None:
    topic = harness.topic
    harness.writer().write(outgoing(topic, *"abcdef"), WRITE_S)
    harness.forget(0, 4)
    reader = harness.reader()
    reader.assign({(topic.name, 0): 1})
    with pytest.raises(PositionLost):
        read(reader, 1)
    reader.assign({(topic.name, 0): -2})
    assert [message.value for message in read(reader, 2)] == [b"e", b"f"]


def test_an_open_transaction_is_never_seen_nor_what_follows_it(harness: Harness) -> None:
    topic = harness.topic
    here = (topic.name, 0)
    writer = harness.writer()
    writer.write(outgoing(topic, "before"), WRITE_S)
    settle = harness.open_transaction(f"open-{topic.name}", outgoing(topic, "inside"))
    writer.write(outgoing(topic, "after"), WRITE_S)
    reader = harness.reader()
    reader.assign({here: -2})
    assert [message.value for message in read_to_end(reader, here, 1)] == [b"before"]
    assert list(reader.poll(0.5, 10)) == []
    settle(True)
    assert [message.value for message in read_to_end(reader, here, 4)] == [b"inside", b"after"]


def test_aborted_records_are_never_seen_and_the_position_passes_them(harness: Harness) -> None:
    topic = harness.topic
    here = (topic.name, 0)
    harness.writer().write(outgoing(topic, "before"), WRITE_S)
    settle = harness.open_transaction(f"aborted-{topic.name}", outgoing(topic, "inside", "too"))
    settle(False)
    reader = harness.reader()
    reader.assign({here: -2})
    assert [message.value for message in read_to_end(reader, here, 4)] == [b"before"]


def test_a_transaction_is_seen_whole_over_its_partitions(harness: Harness) -> None:
    topic = harness.topic
    transaction = harness.transaction(f"whole-{topic.name}")
    transaction.begin(WRITE_S)
    records = [record for number in range(4) for record in outgoing(topic, f"first-{number}", partition=number)]
    transaction.commit(records, WRITE_S)
    transaction.commit(outgoing(topic, "second", partition=3), WRITE_S)
    reader = harness.reader()
    reader.assign({(topic.name, number): -2 for number in range(4)})
    assert {message.value for message in read(reader, 5)} == {b"first-0", b"first-1", b"first-2", b"first-3", b"second"}


def test_a_zombie_is_fenced_and_writes_nothing(harness: Harness) -> None:
    topic = harness.topic
    zombie = harness.transaction(f"owner-{topic.name}")
    zombie.begin(WRITE_S)
    zombie.commit(outgoing(topic, "while it owned"), WRITE_S)
    successor = harness.transaction(f"owner-{topic.name}")
    successor.begin(WRITE_S)
    with pytest.raises(Fenced):
        zombie.commit(outgoing(topic, "from the grave"), WRITE_S)
    successor.commit(outgoing(topic, "by the heir"), WRITE_S)
    reader = harness.reader()
    reader.assign({(topic.name, 0): -2})
    assert [message.value for message in read_until(reader, b"by the heir")] == [b"while it owned", b"by the heir"]


def test_taking_over_aborts_what_a_dead_owner_left_open(harness: Harness) -> None:
    topic = harness.topic
    harness.open_transaction(f"left-{topic.name}", outgoing(topic, "half a decision"))
    successor = harness.transaction(f"left-{topic.name}")
    successor.begin(WRITE_S)
    successor.commit(outgoing(topic, "a whole one"), WRITE_S)
    reader = harness.reader()
    reader.assign({(topic.name, 0): -2})
    assert [message.value for message in read_until(reader, b"a whole one")] == [b"a whole one"]


def test_a_record_that_its_topic_never_takes_is_told_apart_from_a_broker_that_is_away(harness: Harness) -> None:
    topic = harness.topic
    large = Outgoing(topic=topic.name, key=b"", value=random.Random(1).randbytes(RECORD_LIMIT + 1), partition=0)
    writer = harness.writer()
    with pytest.raises(RecordTooLarge):
        writer.write([large], WRITE_S)
    writer.write(outgoing(topic, "small"), WRITE_S)
    transaction = harness.transaction(f"large-{topic.name}")
    transaction.begin(WRITE_S)
    with pytest.raises(RecordTooLarge):
        transaction.commit([*outgoing(topic, "neighbour"), large], WRITE_S)
    transaction.begin(WRITE_S)
    transaction.commit(outgoing(topic, "later"), WRITE_S)
    reader = harness.reader()
    reader.assign({(topic.name, 0): -2})
    assert [message.value for message in read_until(reader, b"later")] == [b"small", b"later"]


class Told:
    """Counts what a writer says of posted records."""

    def __init__(self) -> None:
        self.outcomes: list[Exception | None] = []
        self.changed = threading.Condition()

    def __call__(self, outcome: Exception | None) -> None:
        with self.changed:
            self.outcomes.append(outcome)
            self.changed.notify_all()

    def wait(self, count: int, timeout_s: float) -> None:
        with self.changed:
            self.changed.wait_for(lambda: len(self.outcomes) >= count, timeout_s)


def post_until_full(writer: LogWriter, topic: Topic, told: Told) -> int:
    """How many records of a kilobyte were taken before one was refused."""
    for taken in range(1_000):
        if not writer.post(Outgoing(topic=topic.name, key=b"", value=b"x" * 1_000, partition=2), told):
            return taken
    return 1_000


def test_while_the_broker_is_dead_everything_is_bounded_and_afterwards_goes_on(harness: Harness) -> None:
    """The writer says LogUnavailable in time, a full queue refuses, what was acknowledged is kept, what was held arrives."""
    topic = harness.topic
    here = (topic.name, 0)
    writer, narrow, reader, transaction = harness.writer(), harness.narrow_writer(), harness.reader(), harness.transaction("dead")
    writer.write(outgoing(topic, "acknowledged"), WRITE_S)
    narrow.write(outgoing(topic, "warm", partition=3), WRITE_S)
    transaction.begin(WRITE_S)
    transaction.commit(outgoing(topic, "committed", partition=1), WRITE_S)
    reader.assign({here: -2, (topic.name, 1): -2, (topic.name, 2): -2})
    assert len(read(reader, 2)) == 2
    told = Told()
    with harness.outage():
        started = time.monotonic()
        with pytest.raises(LogUnavailable):
            writer.write(outgoing(topic, "unknown"), 1.0)
        with pytest.raises(LogUnavailable):
            transaction.commit(outgoing(topic, "unknown too", partition=1), 1.0)
        with pytest.raises(LogUnavailable):
            reader.end_offsets([here])
        assert list(reader.poll(0.2, 10)) == []
        taken = post_until_full(narrow, topic, told)
        assert 10 <= taken < 100
        assert time.monotonic() - started < 12.0
        assert told.outcomes == []
    told.wait(taken, 30.0)
    assert told.outcomes == [None] * taken
    transaction.begin(WRITE_S)
    transaction.commit(outgoing(topic, "again", partition=1), WRITE_S)
    writer.write(outgoing(topic, "back"), WRITE_S)
    writer.write(outgoing(topic, "last", partition=2), WRITE_S)
    messages = read_until(reader, b"again", b"back", b"last")
    assert sum(message.value.startswith(b"x") for message in messages) == taken


def test_a_writer_that_closes_tells_the_fate_of_every_record(harness: Harness) -> None:
    told = Told()
    writer = harness.writer()
    for record in outgoing(harness.topic, *(str(number) for number in range(100))):
        assert writer.post(record, told)
    writer.close(WRITE_S)
    told.wait(100, 5.0)
    assert told.outcomes == [None] * 100


def keys() -> list[bytes]:
    """Keys of every length up to 70 with every kind of byte, and those that roles really use."""
    generator = random.Random(4)
    drawn = [generator.randbytes(length) for length in range(71) for _ in range(4)]
    return sorted({*drawn, *(f"model-{number}".encode() for number in range(100)), b"electricity", "é".encode()})


def test_every_client_puts_every_key_into_the_same_partition(broker: EmbeddedBroker) -> None:
    """Java's murmur2: confluent-kafka, kafka-python, aiokafka (Faust's) and the twin; librdkafka's own default would not."""
    topic = new_topic(partitions=64)
    create_topics(broker.bootstrap_servers, topics=[topic])
    expected = {key: partition_of(key, 64) for key in keys()}
    assert len(set(expected.values())) == 64
    confluent, kafka_python = ConfluentWriter(broker.bootstrap_servers), KafkaPythonWriter(broker.bootstrap_servers)
    for name, writer in (("confluent", confluent), ("kafka-python", kafka_python)):
        writer.write([Outgoing(topic=topic.name, key=key, value=name.encode()) for key in expected], 30.0)
        writer.close(5.0)
    asyncio.run(_write_with_aiokafka(broker.bootstrap_servers, topic.name, list(expected)))
    reader = ConfluentReader(broker.bootstrap_servers)
    reader.assign({(topic.name, partition): -2 for partition in range(64)})
    messages = read(reader, 3 * len(expected))
    reader.close()
    for name in (b"confluent", b"kafka-python", b"aiokafka"):
        assert {message.key: message.partition for message in messages if message.value == name} == expected, name


async def _write_with_aiokafka(servers: str, topic: str, written: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for future in [await producer.send(topic, value=b"aiokafka", key=key) for key in written]:
            await future


def test_the_kafka_harness_is_the_real_thing(broker: EmbeddedBroker) -> None:
    """The suite's other half must not silently become the twin."""
    assert isinstance(make_harness("confluent", broker, new_topic()), KafkaHarness)
