"""A broker in memory: partitions, keys, transactions with fencing, read_committed, its own clock.

Everything happens under one lock, at once: what Kafka does over time (an open transaction, a broker that is away) is
made explicit by `stage` and `go_away`. Its clients are in `memory`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from streams.partitioner import partition_of
from streams.ports import Fenced, LogUnavailable, Message, Outgoing, PositionLost, RecordTooLarge
from streams.topics import TOPICS, Topic

Partition = tuple[str, int]


@dataclass(slots=True)
class _Batch:
    """Records that share a fate: a transaction's, or a plain write's (committed from the start)."""

    state: Literal["open", "committed", "aborted"]
    touched: dict[Partition, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One offset: a record, or the marker that ends a transaction on this partition (message None)."""

    message: Message | None
    batch: _Batch


@dataclass(slots=True)
class _Owner:
    """The present owner of a transactional id."""

    epoch: int = 0
    open: _Batch | None = None


class MemoryLog:
    """The broker. `clock` is its own (LogAppendTime); tests inject one."""

    def __init__(self, *, topics: Sequence[Topic] = TOPICS, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._clock = clock
        self._entries: dict[Partition, list[_Entry]] = {(t.name, p): [] for t in topics for p in range(t.partitions)}
        self._first_kept: dict[Partition, int] = dict.fromkeys(self._entries, 0)
        self._owners: dict[str, _Owner] = {}
        self._away = False
        self._came_back: list[Callable[[], None]] = []
        self.changed = threading.Condition(threading.RLock())

    def go_away(self) -> None:
        """From now on the broker does not answer."""
        with self.changed:
            self._away = True

    def come_back(self) -> None:
        """It answers again, with all it had; what writers held is written."""
        with self.changed:
            self._away = False
            for tell in self._came_back:
                tell()
            self.changed.notify_all()

    def forget(self, partition: Partition, before: int) -> None:
        """Retention: offsets below are no longer kept."""
        with self.changed:
            self._first_kept[partition] = max(self._first_kept[partition], before)

    def check_answers(self) -> None:
        """Raises LogUnavailable while the broker is away."""
        if self._away:
            raise LogUnavailable("the broker is away")

    def on_return(self, tell: Callable[[], None]) -> None:
        """Call this each time the broker comes back."""
        self._came_back.append(tell)

    def append(self, records: Sequence[Outgoing], batch: _Batch | None = None) -> None:
        """Append all, in order; without a batch they are visible at once. Raises LogUnavailable, RecordTooLarge."""
        with self.changed:
            self.check_answers()
            for record in records:
                self._check_size(record)
            fate = _Batch("committed") if batch is None else batch
            for record in records:
                self._append(record, fate)
            self.changed.notify_all()

    def take_over(self, transactional_id: str) -> int:
        """The epoch of a new owner; what the former one left open is aborted."""
        with self.changed:
            self.check_answers()
            owner = self._owners.setdefault(transactional_id, _Owner())
            self._settle(owner, "aborted")
            owner.epoch += 1
            return owner.epoch

    def stage(self, transactional_id: str, epoch: int, records: Sequence[Outgoing]) -> None:
        """Append records of a transaction that stays open. Raises Fenced, LogUnavailable."""
        with self.changed:
            self.check_answers()
            owner = self._owned(transactional_id, epoch)
            if owner.open is None:
                owner.open = _Batch("open")
            self.append(records, owner.open)

    def settle(self, transactional_id: str, epoch: int, state: Literal["committed", "aborted"]) -> None:
        """End the open transaction. Raises Fenced, LogUnavailable."""
        with self.changed:
            self.check_answers()
            self._settle(self._owned(transactional_id, epoch), state)
            self.changed.notify_all()

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """First offset kept, and the last stable offset: where the earliest open transaction begins, or the end."""
        with self.changed:
            self.check_answers()
            return self._first_kept[partition], self._stable(partition)

    def read(self, partition: Partition, position: int, limit: int) -> tuple[list[Message], int]:
        """Committed messages from a position, and where to go on. Raises PositionLost."""
        with self.changed:
            if position < self._first_kept[partition] or position > len(self._entries[partition]):
                raise PositionLost(f"{partition[0]}-{partition[1]} offset {position} is not kept")
            if self._away:
                return [], position
            found: list[Message] = []
            stable = self._stable(partition)
            while position < stable and len(found) < limit:
                entry = self._entries[partition][position]
                position += 1
                if entry.message is not None and entry.batch.state == "committed":
                    found.append(entry.message)
            return found, self._skip_markers(partition, position, stable)

    def _skip_markers(self, partition: Partition, position: int, stable: int) -> int:
        """Past what will never be returned, as the real clients' positions are."""
        while position < stable:
            entry = self._entries[partition][position]
            if entry.message is not None and entry.batch.state == "committed":
                break
            position += 1
        return position

    def _stable(self, partition: Partition) -> int:
        entries = self._entries[partition]
        return next((offset for offset, entry in enumerate(entries) if entry.batch.state == "open"), len(entries))

    def _append(self, record: Outgoing, batch: _Batch) -> None:
        topic = self._topics[record.topic]
        number = partition_of(record.key, topic.partitions) if record.partition is None else record.partition
        partition = (record.topic, number)
        now = self._clock()
        message = Message(
            topic=record.topic,
            partition=number,
            offset=len(self._entries[partition]),
            broker_time=now.replace(microsecond=now.microsecond // 1000 * 1000),
            key=record.key,
            value=record.value,
        )
        self._entries[partition].append(_Entry(message, batch))
        batch.touched[partition] = None

    def _check_size(self, record: Outgoing) -> None:
        limit = self._topics[record.topic].max_record_bytes
        size = len(record.key) + len(record.value)
        if size > limit:
            raise RecordTooLarge(f"{record.topic} takes no record of {size} bytes (limit {limit})")

    def _owned(self, transactional_id: str, epoch: int) -> _Owner:
        owner = self._owners[transactional_id]
        if owner.epoch != epoch:
            raise Fenced(f"{transactional_id}: another process owns this id now")
        return owner

    def _settle(self, owner: _Owner, state: Literal["committed", "aborted"]) -> None:
        if owner.open is None:
            return
        owner.open.state = state
        for partition in owner.open.touched:
            self._entries[partition].append(_Entry(None, owner.open))
        owner.open = None
