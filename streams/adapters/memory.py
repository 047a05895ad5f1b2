"""The log's ports on a broker in memory: real code, not a mock, that passes the contract suite of the real clients."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from streams.adapters.memory_log import MemoryLog, Partition
from streams.ports import LogUnavailable, Message, Outgoing, RecordTooLarge

__all__ = ["MemoryLog", "MemoryReader", "MemoryTransaction", "MemoryWriter"]


class MemoryReader:
    """LogReader on a MemoryLog."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._positions: dict[Partition, int] = {}

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read exactly these, each from its offset (-2: earliest kept, -1: end)."""
        self._positions = {p: offset if offset >= 0 else self._log.bounds(p)[offset + 2] for p, offset in positions.items()}

    def poll(self, timeout_s: float, limit: int) -> Sequence[Message]:
        """Up to `limit` messages, as soon as there is one; none at the timeout. Raises PositionLost."""
        deadline = time.monotonic() + timeout_s
        with self._log.changed:
            while True:
                messages = self._taken(limit)
                left = deadline - time.monotonic()
                if messages or left <= 0:
                    return messages
                self._log.changed.wait(left)

    def end_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The next offset to be written (last stable). Raises LogUnavailable."""
        return {partition: self._log.bounds(partition)[1] for partition in partitions}

    def position(self, partition: Partition) -> int:
        """The next offset that `poll` would return (markers skipped)."""
        return self._positions[partition]

    def close(self) -> None:
        """Nothing is held."""

    def _taken(self, limit: int) -> list[Message]:
        messages: list[Message] = []
        for partition in list(self._positions):
            found, self._positions[partition] = self._log.read(partition, self._positions[partition], limit - len(messages))
            messages.extend(found)
        return messages


class MemoryWriter:
    """LogWriter on a MemoryLog; what is posted while the broker is away waits in a bounded queue."""

    def __init__(self, log: MemoryLog, *, queue_records: int = 100_000) -> None:
        self._log = log
        self._limit = queue_records
        self._held: deque[tuple[Outgoing, Callable[[Exception | None], None]]] = deque()
        log.on_return(self._write_held)

    def write(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """Write all, in order per partition. Raises LogUnavailable (at once: nothing is waited for), RecordTooLarge."""
        del timeout_s
        self._log.append(records)

    def post(self, record: Outgoing, done: Callable[[Exception | None], None]) -> bool:
        """Queue one; `done` is called once. False: the queue is full, dropped."""
        with self._log.changed:
            if len(self._held) >= self._limit:
                return False
            self._held.append((record, done))
            try:
                self._log.check_answers()
            except LogUnavailable:
                return True
            self._write_held()
        return True

    def close(self, timeout_s: float) -> None:
        """What is still held is given up, and its `done` called with an error."""
        del timeout_s
        while self._held:
            self._held.popleft()[1](LogUnavailable("the writer was closed"))

    def _write_held(self) -> None:
        while self._held:
            record, done = self._held.popleft()
            try:
                self._log.append([record])
            except RecordTooLarge as error:
                done(error)
            else:
                done(None)


class MemoryTransaction:
    """FencedTransaction on a MemoryLog."""

    def __init__(self, log: MemoryLog, transactional_id: str) -> None:
        self._log = log
        self._id = transactional_id
        self._epoch = 0

    def begin(self, timeout_s: float) -> None:
        """Take ownership of the transactional id."""
        del timeout_s
        self._epoch = self._log.take_over(self._id)

    def commit(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """One transaction with all records. Raises Fenced, LogUnavailable, RecordTooLarge (nothing written)."""
        del timeout_s
        with self._log.changed:
            self.stage(records)
            self._log.settle(self._id, self._epoch, "committed")

    def stage(self, records: Sequence[Outgoing]) -> None:
        """Write records and leave the transaction open, as an owner that died in the middle does."""
        self._log.stage(self._id, self._epoch, records)

    def settle(self, commit: bool) -> None:
        """End what `stage` left open."""
        self._log.settle(self._id, self._epoch, "committed" if commit else "aborted")

    def close(self) -> None:
        """Nothing is held."""
