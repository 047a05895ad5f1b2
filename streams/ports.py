"""What the roles ask of a log. Adapters (`confluent`, `kafka_python`, `memory`) pass one contract suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One record as read: where it stands, when the broker took it (LogAppendTime, aware UTC), and its bytes."""

    topic: str
    partition: int
    offset: int
    broker_time: datetime
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One record to write. `partition` None: by key, murmur2 as Java's client does."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None


class LogUnavailable(Exception):
    """The broker did not acknowledge in time; nothing is known to be written."""


class RecordTooLarge(Exception):
    """The broker or the client will never take this record: it is larger than its topic allows."""


class PositionLost(Exception):
    """The offset asked for is no longer kept (retention passed it): reading on would skip records in silence."""


class LogReader(Protocol):
    """Reads assigned partitions in order, committed records only."""

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Read exactly these (topic, partition), each from its offset (-2: earliest kept, -1: end)."""

    def poll(self, timeout_s: float, limit: int) -> Sequence[Message]:
        """Up to `limit` messages, as soon as there is one; none at the timeout. Raises PositionLost."""

    def end_offsets(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The next offset to be written (last stable), asked of the broker now. Raises LogUnavailable."""

    def position(self, partition: tuple[str, int]) -> int:
        """The next offset that `poll` would return (markers skipped)."""

    def close(self) -> None:
        """Release the client."""


class LogWriter(Protocol):
    """Writes with acks=all, idempotently."""

    def write(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """Write all, in order per partition, and wait for the broker. Raises LogUnavailable, RecordTooLarge."""

    def post(self, record: Outgoing, done: Callable[[Exception | None], None]) -> bool:
        """Queue one without waiting; `done` is called from the writer's thread. False: the queue is full, dropped."""

    def close(self, timeout_s: float) -> None:
        """Flush for at most so long, then release the client."""


class FencedTransaction(Protocol):
    """Writes of one owner that become visible together, or not at all; a second owner of the same id fences the first."""

    def begin(self, timeout_s: float) -> None:
        """Take ownership of the transactional id (fences whoever had it)."""

    def commit(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """One transaction with all records. Raises Fenced when another owner took over, LogUnavailable otherwise."""

    def close(self) -> None:
        """Release the client."""


class Fenced(Exception):
    """Another process owns this transactional id now: stop at once."""
