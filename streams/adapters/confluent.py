"""The log's reader and writer through librdkafka: the data plane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.adapters.confluent_client import admin_client, client_settings, offsets_of
from streams.ports import LogUnavailable, Message, Outgoing, PositionLost, RecordTooLarge

MAX_RECORD_BYTES: Final = 8 * 2**20
"""Largest of any topic; each topic's own bound is the broker's to keep."""
POLL_S: Final = 0.1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PASSING: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)
"""What a reader meets while a broker is away; librdkafka goes on by itself."""


class ConfluentReader:
    """Reads assigned partitions, committed records only; no consumer group."""

    def __init__(self, bootstrap_servers: str, *, timeout_s: float = 10.0, fetch_bytes: int = 32 * 2**20) -> None:
        self._timeout_s = timeout_s
        self._positions: dict[tuple[str, int], int] = {}
        self._admin = admin_client(bootstrap_servers)
        self._consumer = Consumer(
            {
                **client_settings(bootstrap_servers),
                "group.id": "unused: partitions are assigned, offsets kept elsewhere",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,  # tells the position behind transaction markers
                "fetch.wait.max.ms": 100,
                "fetch.message.max.bytes": MAX_RECORD_BYTES,
                "queued.max.messages.kbytes": fetch_bytes // 1024,
            }
        )

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Read exactly these, each from its offset (-2: earliest kept, -1: end). Raises LogUnavailable."""
        ends = self._asked([p for p, offset in positions.items() if offset == -1], OffsetSpec.latest())
        starts = self._asked([p for p, offset in positions.items() if offset == -2], OffsetSpec.earliest())
        self._positions = {**positions, **ends, **starts}
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in self._positions.items()])

    def poll(self, timeout_s: float, limit: int) -> Sequence[Message]:
        """Up to `limit` messages, as soon as there is one; none at the timeout. Raises PositionLost."""
        deadline = time.monotonic() + timeout_s
        while True:
            first = self._consumer.poll(max(0.0, deadline - time.monotonic()))
            raw = [] if first is None else [first, *self._consumer.consume(limit - 1, 0)]
            messages = [message for message in map(self._taken, raw) if message is not None]
            if messages or time.monotonic() >= deadline:
                return messages

    def end_offsets(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The next offset to be written (last stable), asked of the broker now. Raises LogUnavailable."""
        return self._asked(partitions, OffsetSpec.latest())

    def position(self, partition: tuple[str, int]) -> int:
        """The next offset that `poll` would return (markers skipped)."""
        return self._positions[partition]

    def close(self) -> None:
        """Release the client."""
        self._consumer.close()

    def _taken(self, raw: Any) -> Message | None:
        """The message, or None for an event that only moves the position."""
        error = raw.error()
        partition = (raw.topic(), raw.partition())
        if error is None:
            self._positions[partition] = raw.offset() + 1
            return _message(raw)
        if error.code() == KafkaError._PARTITION_EOF:
            self._positions[partition] = max(self._positions[partition], raw.offset())
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise PositionLost(
                f"{partition[0]}-{partition[1]} offset {self._positions.get(partition)} is not kept: {error.str()}"
            )
        elif error.code() not in PASSING:
            raise LogUnavailable(f"{partition[0]}-{partition[1]} cannot be read: {error.str()}")
        return None

    def _asked(self, partitions: Sequence[tuple[str, int]], which: OffsetSpec) -> dict[tuple[str, int], int]:
        return offsets_of(self._admin, partitions, which, self._timeout_s)


def _message(raw: Any) -> Message:
    return Message(
        topic=raw.topic(),
        partition=raw.partition(),
        offset=raw.offset(),
        broker_time=EPOCH + timedelta(milliseconds=raw.timestamp()[1]),
        key=raw.key() or b"",
        value=raw.value() or b"",
    )


class ConfluentWriter:
    """Writes with acks=all, idempotently, in order per partition; callbacks are served by a thread of its own.

    `gapless`: once a record could not be written, none after it is, and the writer is of no more use (the monitor's
    windows form a chain). Memory is bounded by `queue_bytes`, the time a record may wait for a broker by `message_timeout_s`.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        gapless: bool = False,
        queue_bytes: int = 64 * 2**20,
        message_timeout_s: float = 300.0,
        linger_ms: float = 5.0,
    ) -> None:
        self._producer = Producer(
            {
                **client_settings(bootstrap_servers),
                "acks": "all",
                "enable.idempotence": True,
                "enable.gapless.guarantee": gapless,
                "partitioner": "murmur2_random",  # librdkafka's default puts keys elsewhere than the other clients
                "linger.ms": linger_ms,
                "queue.buffering.max.kbytes": max(1, queue_bytes // 1024),
                "queue.buffering.max.messages": 1_000_000,
                "message.timeout.ms": int(message_timeout_s * 1000),
                "message.max.bytes": MAX_RECORD_BYTES,
            }
        )
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """Write all, in order per partition, and wait for the broker. Raises LogUnavailable, RecordTooLarge."""
        deadline = time.monotonic() + timeout_s
        outcome = _Outcome(len(records))
        for record in records:
            while not self._queued(record, outcome.note):
                if time.monotonic() >= deadline:
                    raise LogUnavailable(f"the queue to the broker stayed full for {timeout_s:.1f} s")
                time.sleep(0.005)
        outcome.wait(max(0.0, deadline - time.monotonic()), timeout_s)

    def post(self, record: Outgoing, done: Callable[[Exception | None], None]) -> bool:
        """Queue one without waiting; `done` is called once, from the writer's thread. False: queue full, dropped."""
        return self._queued(record, done)

    def close(self, timeout_s: float) -> None:
        """Flush for at most so long; what is left is given up, and its `done` called with an error."""
        if self._closing.is_set():
            return
        self._producer.flush(timeout_s)
        self._producer.purge()
        self._producer.flush(POLL_S * 10)
        self._closing.set()
        self._thread.join(POLL_S * 20)

    def _queued(self, record: Outgoing, done: Callable[[Exception | None], None]) -> bool:
        destination = {} if record.partition is None else {"partition": record.partition}
        try:
            self._producer.produce(
                record.topic,
                key=record.key,
                value=record.value,
                on_delivery=lambda error, _message: done(_failure(error, record)),
                **destination,
            )
        except BufferError:
            return False
        except KafkaException as error:
            done(_failure(error.args[0], record))
        return True

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(POLL_S)


class _Outcome:
    """Waits until so many deliveries are told; keeps the first failure."""

    def __init__(self, expected: int) -> None:
        self._left = expected
        self._failure: Exception | None = None
        self._changed = threading.Condition()

    def note(self, failure: Exception | None) -> None:
        """One delivery is known."""
        with self._changed:
            self._left -= 1
            self._failure = self._failure or failure
            if self._left <= 0 or self._failure:
                self._changed.notify_all()

    def wait(self, seconds: float, told_s: float) -> None:
        """Return when all are delivered; raise the first failure, or LogUnavailable at the deadline."""
        with self._changed:
            self._changed.wait_for(lambda: self._left <= 0 or self._failure is not None, seconds)
            if self._failure is not None:
                raise self._failure
            if self._left > 0:
                raise LogUnavailable(f"{self._left} records were not acknowledged within {told_s:.1f} s")


def _failure(error: Any, record: Outgoing) -> Exception | None:
    """A delivery's error in our own words; None: delivered."""
    if error is None:
        return None
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        size = len(record.key) + len(record.value)
        return RecordTooLarge(f"{record.topic} takes no record of {size} bytes: {error.str()}")
    return LogUnavailable(f"a record for {record.topic} was not written: {error.str()}")
