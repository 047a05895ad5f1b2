"""Rules that a planted bug around the log breaks, each asked in the smallest direct call: True where it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from homeostat import leader
from homeostat.control_fold import PartitionState
from homeostat.leader import Leader, owner
from serving import router
from streams import topics
from streams.adapters.memory import MemoryLog, MemoryReader, MemoryTransaction
from streams.codec import decode_json, decode_msgpack, encode_json
from streams.events import Control, Decided, Restored, Route, Snapshot, Ticked
from streams.policy import AdmissionPolicy, Policy
from streams.ports import Fenced, FencedTransaction, LogUnavailable, Message, Outgoing
from tests.core.control_log import BROKER_T0, EVENT_T0, POLICY, ControlLog, registered, retrain

LATER: Final = BROKER_T0 + timedelta(days=30)


class Desk:
    """A broker, and a leader of the partition that model m is on."""

    def __init__(self, commits: int | None = None) -> None:
        """`commits`: the transaction takes so many, then the broker is away."""
        self.log = MemoryLog(clock=lambda: BROKER_T0)
        self.partition = ControlLog().partition
        owned = MemoryTransaction(self.log, owner(self.partition))
        owned.begin(1.0)
        transaction: FencedTransaction = owned if commits is None else _Failing(owned, commits)
        self.leader = Leader(self.partition, transaction, PartitionState())

    def step(self, *records: Control) -> bool:
        """One batch; whether the leader says that it is committed."""
        self.log.append([Outgoing(topic=topics.CONTROL, key=one.model.encode(), value=encode_json(one)) for one in records])
        messages, _ = self.log.read((topics.CONTROL, self.partition), self.leader.state.offset, 100)
        try:
            self.leader.step(messages, lambda _: None)
        except LogUnavailable:
            return False
        return True

    def written(self, topic: str) -> Sequence[Message]:
        """All that is committed of a topic."""
        reader = MemoryReader(self.log)
        reader.assign({(topic, number): 0 for number in range(topics.named(topic).partitions)})
        return reader.poll(0.0, 1_000)

    def decided(self) -> list[Decided]:
        """All decisions on the log."""
        return [decode_json(message.value, Decided) for message in self.written(topics.DECISIONS)]

    def snapshot(self) -> PartitionState | None:
        """What a next leader would go on from."""
        found = self.written(topics.SNAPSHOTS)
        return leader.restore(decode_msgpack(found[-1].value, Snapshot, 1_000_000)) if found else None


class _Failing:
    def __init__(self, whole: FencedTransaction, commits: int) -> None:
        self._whole = whole
        self._left = commits

    def begin(self, timeout_s: float) -> None:
        """Nothing to begin."""

    def commit(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        """The first ones go through."""
        self._left -= 1
        if self._left < 0:
            raise LogUnavailable("the broker is away")
        self._whole.commit(records, timeout_s)

    def close(self) -> None:
        """Nothing is held."""


def every_route_has_its_decision() -> bool:
    desk = Desk(commits=1)
    desk.step(registered())
    routes = {decode_json(message.value, Route).decision for message in desk.written(topics.ROUTES)}
    return routes <= {decision.id for decision in desk.decided()}


def decisions_come_with_their_offset() -> bool:
    desk = Desk(commits=1)
    desk.step(registered())
    return bool(desk.decided()) == (desk.snapshot() is not None)


def a_failed_commit_is_no_commit() -> bool:
    desk = Desk(commits=0)
    return not desk.step(registered()) and desk.leader.state.offset == 0


def a_snapshot_is_what_the_leader_knows() -> bool:
    desk = Desk()
    desk.step(registered())
    return desk.snapshot() == desk.leader.state


def a_next_leader_knows_what_has_acted() -> bool:
    desk = Desk()
    desk.step(registered(), retrain())
    found = desk.snapshot()
    return found is not None and "req-1" in found.models["m"].seen


def a_fenced_leader_writes_nothing() -> bool:
    desk = Desk()
    MemoryTransaction(desk.log, owner(desk.partition)).begin(1.0)
    try:
        desk.step(registered())
    except Fenced:
        return not desk.decided()
    return False


def decisions_are_dated_by_the_broker() -> bool:
    log = ControlLog()
    log.tell(registered())
    return log.decisions[-1].at == log.messages[-1].broker_time


def a_tick_dated_ahead_ends_no_run() -> bool:
    log = ControlLog()
    log.tell(registered(policy=_short_deadline()))
    log.tell(retrain())
    return log.tell(_tick(log.messages[-1].broker_time + timedelta(minutes=4))) == []


def a_deadline_acts_through_the_log() -> bool:
    desk = Desk()
    desk.step(registered(), retrain())
    before = desk.leader.state
    return len(desk.leader.due_ticks(LATER)) == 1 and desk.leader.state == before


def a_command_acts_once() -> bool:
    log = ControlLog()
    log.tell(registered())
    log.tell(retrain())
    return log.tell(retrain()) == ["Refused"]


def a_command_acts_once_whatever_came_between() -> bool:
    log = ControlLog()
    log.tell(registered())
    for request in ("req-1", "req-2"):
        log.tell(retrain(request))
    return log.tell(retrain("req-1")) == ["Refused"]


def a_replay_gives_the_same_decisions() -> bool:
    logs = (ControlLog(), ControlLog())
    for log in logs:
        log.tell(registered())
    return logs[0].decisions == logs[1].decisions


def poison_is_answered() -> bool:
    log = ControlLog()
    folded = log.append(b"{", b"m")
    return folded.dead_letter is not None and [decision.kind for decision in folded.decisions] == ["Refused"]


def a_repeated_route_is_refused() -> bool:
    return not router.accepts(_route(generation=2), _route(generation=1))


def a_new_revision_is_taken() -> bool:
    return router.accepts(_route(revision=1), _route(revision=2))


def a_new_incarnation_is_taken() -> bool:
    return router.accepts(_route(generation=9), _route(incarnation=2))


def a_restored_model_speaks_for_the_new_log() -> bool:
    old = ControlLog()
    old.tell(registered())
    log = ControlLog()
    state = msgspec.msgpack.encode(old.state.models["m"])
    log.tell(Restored(id="r", at=EVENT_T0, model="m", actor="ada", reason="disk", incarnation=2, state=state))
    return log.routes[-1].incarnation == 2


def _route(*, incarnation: int = 1, generation: int = 1, revision: int = 0) -> Route:
    return Route(
        id="r", at=EVENT_T0, model="m", incarnation=incarnation, generation=generation, revision=revision, champion="a", decision="d"
    )  # fmt: skip


def _tick(at: datetime) -> Ticked:
    return Ticked(id="t", at=at, model="m", actor="controller", reason="")


def _short_deadline() -> Policy:
    return msgspec.structs.replace(POLICY, admission=AdmissionPolicy(deadline=timedelta(minutes=1)))


RULES: Final[dict[str, Callable[[], bool]]] = {
    "route_before_decision": every_route_has_its_decision,
    "offset_after_decisions": decisions_come_with_their_offset,
    "failed_commit_passed_over": a_failed_commit_is_no_commit,
    "snapshot_one_batch_behind": a_snapshot_is_what_the_leader_knows,
    "snapshot_without_ids": a_next_leader_knows_what_has_acted,
    "no_fencing": a_fenced_leader_writes_nothing,
    "clock_in_the_fold": decisions_are_dated_by_the_broker,
    "senders_clock_believed": a_tick_dated_ahead_ends_no_run,
    "tick_outside_the_log": a_deadline_acts_through_the_log,
    "repeats_act_again": a_command_acts_once,
    "ids_forgotten_at_once": a_command_acts_once_whatever_came_between,
    "random_ids": a_replay_gives_the_same_decisions,
    "poison_swallowed": poison_is_answered,
    "last_route_wins": a_repeated_route_is_refused,
    "revision_ignored": a_new_revision_is_taken,
    "incarnation_ignored": a_new_incarnation_is_taken,
    "restored_as_the_same_log": a_restored_model_speaks_for_the_new_log,
}
