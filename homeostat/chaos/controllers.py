"""Controller processes: the real leader on the twin. They crash around their commits, sleep, wake as zombies and are fenced."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

from homeostat.chaos.broker import Broker
from homeostat.chaos.plan import Plan
from homeostat.control_fold import Folded, PartitionState
from homeostat.leader import Leader, owner, restore
from streams import topics
from streams.adapters.memory import MemoryTransaction
from streams.codec import decode_msgpack
from streams.events import Snapshot
from streams.partitioner import partition_of
from streams.ports import Fenced, LogUnavailable, Outgoing

BATCH: Final = 50
_SNAPSHOT_PARTITIONS: Final = topics.named(topics.SNAPSHOTS).partitions

Where = Literal["", "before", "within", "after", "refused", "unanswered"]
"""What becomes of the next commit: the process dies around it, or the broker does not take it, or takes it and says nothing."""


class Died(Exception):
    """The process is gone, as by SIGKILL."""


class _Transaction(MemoryTransaction):
    """A transaction whose owner may die in it."""

    die: Where = ""

    def commit(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """As it is, but for the death that was drawn."""
        if self.die == "before":
            raise Died
        if self.die == "within":
            self.stage(records)
            raise Died
        if self.die == "refused":
            raise LogUnavailable("no answer")
        super().commit(records, timeout_s)
        if self.die == "after":
            raise Died
        if self.die == "unanswered":
            raise LogUnavailable("no answer")


class ControllerProcess:
    """One process, from its start to its end. `skew`: by how much its clock is off."""

    def __init__(self, broker: Broker, name: str, skew: timedelta) -> None:
        self._broker = broker
        self.skew = skew
        self._leaders: dict[int, Leader] = {}
        self._transactions: list[_Transaction] = []
        self._positions: dict[int, int] = {}
        self.name = name
        self.asleep_until = 0
        """The step at which it wakes."""

    def start(self) -> None:
        """Lead every partition in use, each from its newest snapshot, its predecessor fenced. Raises LogUnavailable."""
        for number in self._broker.numbers:
            transaction = _Transaction(self._broker.log, owner(number))
            transaction.begin(0.0)
            self._transactions.append(transaction)
            # Only now, with the predecessor fenced, is the newest snapshot the last one there will be.
            state = newest_snapshot(self._broker, number)
            self._leaders[number] = Leader(number, transaction, state)
            self._positions[number] = state.offset

    def turn(self, die: Where = "") -> None:
        """Fold what there is. Raises Fenced, LogUnavailable or Died: each ends the process."""
        for transaction in self._transactions:
            transaction.die = die
        for number, leader in self._leaders.items():
            messages, self._positions[number] = self._broker.read(topics.CONTROL, number, self._positions[number], BATCH)
            fresh = [message for message in messages if message.offset >= leader.state.offset]
            if fresh:
                leader.step(fresh, self._told)
        now = self._broker.now + self.skew
        ticks = [tick for leader in self._leaders.values() for tick in leader.due_ticks(now)]
        if ticks:
            self._broker.log.append(ticks)

    def pending(self) -> bool:
        """Whether a run or a rollout of any model it leads is under way, and nobody holds it."""
        models = [model for leader in self._leaders.values() for model in leader.state.models.values()]
        return any(
            (model.job.order is not None or model.rollout.phase != "idle" or model.rollout.queued) and not model.rollout.paused
            for model in models
        )

    def _told(self, result: Folded) -> None:
        for decision in result.decisions:
            self._broker.say(self.name, "{}: {} {}/{}", decision.model, decision.kind, decision.release or "-", decision.why[:80])


def newest_snapshot(broker: Broker, number: int) -> PartitionState:
    """The state that the newest committed snapshot of a partition holds."""
    key = owner(number).encode()
    place = partition_of(key, _SNAPSHOT_PARTITIONS)
    for message in reversed(broker.read(topics.SNAPSHOTS, place, 0)[0]):
        if message.key == key:
            return restore(decode_msgpack(message.value, Snapshot, topics.named(topics.SNAPSHOTS).max_record_bytes))
    return PartitionState()


class Controllers:
    """The processes that there are: one, and by mistake another, while the first sleeps or is not dead yet."""

    def __init__(self, broker: Broker, plan: Plan, rng: random.Random) -> None:
        self._broker = broker
        self._plan = plan
        self._rng = rng
        self._started = 0
        self.processes: list[ControllerProcess] = []

    def turn(self) -> None:
        """Each process that is awake folds, unless it dies; one is started where none is awake, and sometimes one too many."""
        rng, plan, step = self._rng, self._plan, self._broker.step
        awake = [process for process in self.processes if process.asleep_until <= step]
        if not awake or (len(self.processes) < 2 and rng.random() < plan.controller_sleep / 2):
            self.start()
        for process in list(self.processes):
            if process.asleep_until > step:
                continue
            if rng.random() < plan.controller_sleep:
                process.asleep_until = step + rng.randint(2, 12)
                self._broker.say(process.name, "sleeps")
                continue
            die: Where = (
                rng.choice(("before", "within", "after", "refused", "unanswered")) if rng.random() < plan.controller_crash else ""
            )
            self._run(process, die)

    def settle(self) -> None:
        """Without faults: everybody wakes, with a clock that is right, and takes a turn after a new process has taken over."""
        if not any(process.asleep_until <= self._broker.step for process in self.processes):
            self.start()
        for process in list(self.processes):
            process.asleep_until, process.skew = 0, timedelta(0)
            self._run(process, "")

    def pending(self) -> bool:
        """Whether any model waits for something that time alone brings: a result, or a deadline."""
        return any(process.pending() for process in self.processes)

    def start(self) -> None:
        """One more process."""
        self._started += 1
        skew = timedelta(minutes=self._rng.choice((-10, 0, 0, 0, 4, 4, 10)))
        process = ControllerProcess(self._broker, f"controller-{self._started}", skew)
        try:
            process.start()
        except LogUnavailable:
            return
        self._broker.say(process.name, "leads")
        self.processes.append(process)

    def _run(self, process: ControllerProcess, die: Where) -> None:
        try:
            process.turn(die)
        except Died:
            self._end(process, f"died {die} its commit")
        except Fenced:
            self._end(process, "fenced")
        except LogUnavailable:
            self._end(process, "the log is away")

    def _end(self, process: ControllerProcess, why: str) -> None:
        self._broker.say(process.name, "{}", why)
        self.processes.remove(process)
