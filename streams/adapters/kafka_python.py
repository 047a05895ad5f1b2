"""The log through kafka-python: the control plane, with fenced transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from streams.adapters.kafka_python_client import FENCED, TOO_LARGE, client_settings, close_producer, send, translated
from streams.crash_points import IN_TRANSACTION, NOWHERE, CrashPoints
from streams.ports import LogUnavailable, Message, Outgoing, RecordTooLarge

MAX_RECORD_BYTES: Final = 8 * 2**20
TRANSACTION_TIMEOUT_MS: Final = 10_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class KafkaPythonReader:
    """Reads assigned partitions, committed records only; no consumer group."""

    def __init__(self, bootstrap_servers: str, *, timeout_s: float = 10.0) -> None:
        self._timeout_ms = int(timeout_s * 1000)
        with translated("the reader could not start"):
            self._consumer = KafkaConsumer(
                **client_settings(bootstrap_servers, timeout_s),
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="none",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=MAX_RECORD_BYTES,
            )

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Read exactly these, each from its offset (-2: earliest kept, -1: end). Raises LogUnavailable."""
        partitions = {partition: TopicPartition(*partition) for partition in positions}
        earliest = [partitions[p] for p, offset in positions.items() if offset == -2]
        with translated("the partitions could not be assigned"):
            starts = self._consumer.beginning_offsets(earliest, timeout_ms=self._timeout_ms) if earliest else {}
            ends = self.end_offsets([p for p, offset in positions.items() if offset == -1])
            self._consumer.assign(list(partitions.values()))
            for partition, offset in positions.items():
                target = partitions[partition]
                self._consumer.seek(target, ends.get(partition, starts.get(target, offset)))

    def poll(self, timeout_s: float, limit: int) -> Sequence[Message]:
        """Up to `limit` messages, as soon as there is one; none at the timeout. Raises PositionLost."""
        with translated("the log could not be read"):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=limit)
        return [_message(record) for records in polled.values() for record in records]

    def end_offsets(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The next offset to be written (last stable), asked of the broker now. Raises LogUnavailable."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in partitions]
        with translated("the ends of partitions could not be asked"):
            ends = self._consumer.end_offsets(asked, timeout_ms=self._timeout_ms)
        return {(partition.topic, partition.partition): offset for partition, offset in ends.items()}

    def position(self, partition: tuple[str, int]) -> int:
        """The next offset that `poll` would return (markers skipped)."""
        with translated("the position could not be asked"):
            position: int = self._consumer.position(TopicPartition(*partition), timeout_ms=self._timeout_ms)
        return position

    def close(self) -> None:
        """Release the client."""
        self._consumer.close(autocommit=False, timeout_ms=self._timeout_ms)


def _message(record: Any) -> Message:
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        broker_time=EPOCH + timedelta(milliseconds=record.timestamp),
        key=record.key or b"",
        value=record.value or b"",
    )


class KafkaPythonWriter:
    """Writes with acks=all, idempotently, in order per partition."""

    def __init__(
        self, bootstrap_servers: str, *, timeout_s: float = 10.0, pending_limit: int = 10_000, message_timeout_s: float = 120.0
    ) -> None:
        self._servers = bootstrap_servers
        self._timeout_s = timeout_s
        self._message_timeout_s = message_timeout_s
        self._pending = threading.Semaphore(pending_limit)
        self._producer = self._started()

    def write(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """Write all, in order per partition, and wait for the broker. Raises LogUnavailable, RecordTooLarge."""
        deadline = time.monotonic() + timeout_s
        with translated("the records were not acknowledged"):
            try:
                futures = [self._sent(record, deadline) for record in records]
                for future in futures:
                    future.get(timeout=max(0.0, deadline - time.monotonic()))
            except TOO_LARGE:
                # Until it has a new epoch the client fails whatever comes next with this same error.
                close_producer(self._producer, self._timeout_s)
                self._producer = self._started()
                raise

    def post(self, record: Outgoing, done: Callable[[Exception | None], None]) -> bool:
        """Queue one; `done` is called once, from the writer's thread. False: the queue is full, dropped.

        The first record for a topic may wait half a second for its metadata.
        """
        if not self._pending.acquire(blocking=False):
            return False
        try:
            future = send(self._producer, record)
        except kafka_errors.KafkaTimeoutError:
            self._pending.release()
            return False
        except TOO_LARGE as error:
            self._pending.release()
            done(RecordTooLarge(str(error)))
            return True
        future.add_both(self._told(done))
        return True

    def close(self, timeout_s: float) -> None:
        """Flush for at most so long, then release the client."""
        close_producer(self._producer, timeout_s)

    def _started(self) -> Any:
        with translated("the writer could not start"):
            return KafkaProducer(
                **client_settings(self._servers, self._timeout_s),
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                max_block_ms=500,
                max_request_size=MAX_RECORD_BYTES,
                request_timeout_ms=5_000,
                delivery_timeout_ms=int(self._message_timeout_s * 1000),
            )

    def _sent(self, record: Outgoing, deadline: float) -> Any:
        """Queue one, waiting for metadata until the deadline."""
        while True:
            try:
                return send(self._producer, record)
            except kafka_errors.KafkaTimeoutError:
                if time.monotonic() >= deadline:
                    raise

    def _told(self, done: Callable[[Exception | None], None]) -> Callable[[Any], None]:
        def tell(outcome: Any) -> None:
            self._pending.release()
            failed = isinstance(outcome, Exception)
            done(LogUnavailable(f"the record was not written: {outcome!r}") if failed else None)

        return tell


class KafkaPythonTransaction:
    """Writes of one owner, visible together or not at all (FencedTransaction).

    After LogUnavailable from `commit` its outcome is unknown: `begin` again (which settles it) and read the log.
    """

    def __init__(self, bootstrap_servers: str, transactional_id: str, crash: CrashPoints = NOWHERE) -> None:
        self._servers = bootstrap_servers
        self._id = transactional_id
        self._crash = crash
        self._producer: Any = None

    def begin(self, timeout_s: float) -> None:
        """Take ownership of the transactional id; aborts what a former owner left open. Raises LogUnavailable."""
        self.close()
        with translated(f"{self._id} could not be taken over"):
            self._producer = KafkaProducer(
                **client_settings(self._servers, timeout_s),
                transactional_id=self._id,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                max_block_ms=int(timeout_s * 1000),
                max_request_size=MAX_RECORD_BYTES,
                request_timeout_ms=5_000,
                delivery_timeout_ms=TRANSACTION_TIMEOUT_MS,
            )
            self._producer.init_transactions()

    def commit(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """One transaction with all records. Raises Fenced, LogUnavailable, RecordTooLarge (nothing written).

        It is durable on return; readers see it a moment later, when the coordinator has written its markers.
        """
        if self._producer is None:
            raise LogUnavailable(f"{self._id} is not owned: begin first.")
        for record in records:
            # Refused before it begins, so that a record that can never be written leaves no transaction behind.
            if len(record.key) + len(record.value) > MAX_RECORD_BYTES - 1024:
                raise RecordTooLarge(f"{record.topic} takes no record of {len(record.value)} bytes")
        # The client's own waits for the coordinator have no bound, so they run beside us.
        attempt = _Attempt(self._producer, records, self._crash)
        attempt.start()
        attempt.join(timeout_s)
        if attempt.is_alive():
            self.close()
            raise LogUnavailable(f"{self._id}: the transaction was not settled within {timeout_s:.1f} s; its outcome is unknown")
        if attempt.failure is not None:
            fenced = _is_fenced(self._producer, attempt.failure)
            self.close()
            with translated(self._id):
                raise kafka_errors.ProducerFencedError if fenced else attempt.failure

    def close(self) -> None:
        """Release the client; an open transaction is aborted by the broker."""
        if self._producer is not None:
            close_producer(self._producer, 0.5)
            self._producer = None


class _Attempt(threading.Thread):
    """One transaction on its own thread."""

    def __init__(self, producer: Any, records: Sequence[Outgoing], crash: CrashPoints) -> None:
        super().__init__(name="transaction", daemon=True)
        self._transacting = producer
        self._records = records
        self._crash = crash
        self.failure: Exception | None = None

    def run(self) -> None:
        """Write all and commit; an error of any record prevents the commit."""
        try:
            self._transacting.begin_transaction()
            futures = [send(self._transacting, record) for record in self._records]
            self._transacting.flush()
            for future in futures:
                future.get(timeout=0)
            self._crash.reached(IN_TRANSACTION)
            self._transacting.commit_transaction()
        except Exception as error:  # noqa: BLE001  # raised again by the thread that waits
            self.failure = error


def _is_fenced(producer: Any, failure: Exception) -> bool:
    """Whether the client knows itself fenced: later calls raise a plain KafkaError that only quotes the reason."""
    manager = producer._transaction_manager  # the client has no public way to ask
    return isinstance(failure, FENCED) or isinstance(manager.last_error, FENCED)
