"""The partitions of `control` that this process leads: taken with a share of the group, fenced, and let go again.

Where a model lives the partition is led at once, as deadlines pass whether or not a record comes; elsewhere at its first
record, since each leader is a client of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from homeostat.control_fold import PartitionState
from homeostat.leader import Leader, owner, restore
from homeostat.mirror import Mirror
from homeostat.mirror_mending import mend
from homeostat.mirror_writer import MirrorWriter
from homeostat.read_topic import read_topic
from streams import topics
from streams.codec import decode_msgpack
from streams.crash_points import CrashPoints
from streams.events import Snapshot
from streams.ports import FencedTransaction, LogReader

CLIENT_TIMEOUT_S: Final = 10.0
FENCED_TOGETHER: Final = 8
"""A takeover of many models must not take them one after the other."""

log = logging.getLogger("homeostat.controller")


class Leadership:
    """`scout` reads snapshots and decisions, never `control`; `transaction` makes the client of one leader."""

    def __init__(
        self, scout: LogReader, transaction: Callable[[str], FencedTransaction], mirror: Mirror, crash: CrashPoints
    ) -> None:
        self._scout = scout
        self._transaction = transaction
        self._mirror = mirror
        self._mirroring = MirrorWriter(mirror)
        self._crash = crash
        self._starts: dict[int, int] = {}
        self.leaders: dict[int, Leader] = {}

    def take(self, partitions: Collection[int]) -> dict[int, int]:
        """These are ours now, and all others no longer; where to read each from."""
        self.drop([partition for partition in self.leaders if partition not in partitions])
        states = self._snapshots()
        self._starts = {partition: states[partition].offset if partition in states else 0 for partition in partitions}
        self.lead([partition for partition in partitions if partition in states and states[partition].models])
        return self.positions()

    @property
    def behind(self) -> int:
        """Partitions led here of which the mirror lacks something."""
        return self._mirroring.behind

    def positions(self) -> dict[int, int]:
        """By partition of ours, the next record to be folded."""
        led = {partition: leader.state.offset for partition, leader in self.leaders.items()}
        return {**self._starts, **led}

    def lead(self, partitions: Sequence[int]) -> None:
        """Lead these from their newest snapshots on; whoever led them before is fenced."""
        new = [partition for partition in partitions if partition not in self.leaders]
        if not new:
            return
        transactions = self._fenced(new)
        try:
            # Only now, with the predecessors fenced, are the newest snapshots the last ones there will be.
            snapshots = self._snapshots()
            states = {partition: snapshots.get(partition, PartitionState()) for partition in new}
            refused = mend(self._mirror, self._scout, states)
        except BaseException:
            for transaction in transactions.values():
                transaction.close()
            raise
        for partition, state in states.items():
            self._mirroring.led(partition)
            if partition in refused:
                self._mirroring.tell(partition, state.offset, refused[partition])
            self.leaders[partition] = Leader(partition, transactions[partition], state, self._crash, self._mirroring)
            log.info("leading partition %d of control from offset %d, models %s", partition, state.offset, sorted(state.models))

    def drop(self, partitions: Sequence[int]) -> None:
        """Lead these no more."""
        for partition in partitions:
            self._mirroring.dropped(partition)
            self.leaders.pop(partition).close()
        if partitions:
            log.info("no longer leading partitions %s of control", sorted(partitions))

    def close(self) -> None:
        """Lead nothing more, and let the mirror have what was decided."""
        self.drop(list(self.leaders))
        self._mirroring.close()

    def _fenced(self, partitions: Sequence[int]) -> Mapping[int, FencedTransaction]:
        transactions = {partition: self._transaction(owner(partition)) for partition in partitions}
        with ThreadPoolExecutor(max_workers=min(FENCED_TOGETHER, len(partitions))) as beside:
            begun = [beside.submit(transaction.begin, CLIENT_TIMEOUT_S) for transaction in transactions.values()]
        try:
            for one in begun:
                one.result()
        except BaseException:
            for transaction in transactions.values():
                transaction.close()
            raise
        return transactions

    def _snapshots(self) -> dict[int, PartitionState]:
        states = {}
        for message in read_topic(self._scout, topics.SNAPSHOTS, CLIENT_TIMEOUT_S):
            snapshot = decode_msgpack(message.value, Snapshot, topics.named(topics.SNAPSHOTS).max_record_bytes)
            if snapshot.topic == topics.CONTROL and snapshot.id == owner(snapshot.partition):
                states[snapshot.partition] = restore(snapshot)
        return states
