"""Bugs around the log: transactions, snapshots, fencing, time, ids, and which of two routes is the newer one."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from homeostat import control_fold, leader, loop, on_record, restoration
from homeostat.chaos.planting import Planted, replaced
from homeostat.control_fold import LIMIT_BYTES, Folded, PartitionState
from homeostat.leader import Leader
from homeostat.model_state import Arrival, ModelState
from serving import router
from serving.rollout import Rollout
from streams import topics
from streams.adapters.memory_log import MemoryLog
from streams.codec import decode_control
from streams.events import Decided, Route, Snapshot, Ticked
from streams.ports import FencedTransaction, LogUnavailable, Message, Outgoing


class _InTwo:
    """A transaction whose records of some topics are committed first, by themselves."""

    def __init__(self, whole: FencedTransaction, *first: str) -> None:
        self._whole = whole
        self._first = first

    def begin(self, timeout_s: float) -> None:
        self._whole.begin(timeout_s)

    def commit(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        for early in (True, False):
            if part := [record for record in records if (record.topic in self._first) is early]:
                self._whole.commit(part, timeout_s)

    def close(self) -> None:
        self._whole.close()


class _Careless(_InTwo):
    """A transaction whose failure is taken for success."""

    def commit(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        try:
            self._whole.commit(records, timeout_s)
        except LogUnavailable:
            return


def _committed_by(transaction: Callable[[FencedTransaction], FencedTransaction]) -> Callable[[Any], Any]:
    def mistaken(sound: Callable[..., None]) -> Callable[..., None]:
        def step(self: Leader, messages: Sequence[Message], told: Callable[[Folded], None]) -> None:
            whole = self._transaction
            self._transaction = transaction(whole)
            try:
                sound(self, messages, told)
            finally:
                self._transaction = whole

        return step

    return mistaken


def _snapshot_one_batch_behind(sound: Callable[..., Outgoing]) -> Callable[..., Outgoing]:
    return lambda self, _, newest: sound(self, self.state, newest)


def _snapshot_without_ids(sound: Callable[..., PartitionState]) -> Callable[..., PartitionState]:
    def restore(snapshot: Snapshot) -> PartitionState:
        state = sound(snapshot)
        models = {name: msgspec.structs.replace(model, seen=()) for name, model in state.models.items()}
        return msgspec.structs.replace(state, models=models)

    return restore


def _no_fencing(_: object) -> Callable[..., object]:
    return lambda self, transactional_id, _: self._owners[transactional_id]


def _clock_in_the_fold(sound: Callable[..., object]) -> Callable[..., object]:
    return lambda state, arrival: sound(state, dataclasses.replace(arrival, at=datetime.now(UTC)))


def _senders_clock_believed(sound: Callable[..., object]) -> Callable[..., object]:
    def advance(state: ModelState | None, arrival: Arrival) -> object:
        tick = isinstance(arrival.record, Ticked)
        return sound(state, dataclasses.replace(arrival, at=arrival.record.at) if tick else arrival)

    return advance


def _tick_outside_the_log(sound: Callable[..., list[Outgoing]]) -> Callable[..., list[Outgoing]]:
    def due_ticks(self: Leader, now: datetime) -> list[Outgoing]:
        for tick in sound(self, now):
            record = decode_control(tick.value, LIMIT_BYTES)
            arrival = Arrival(record=record, partition=self.partition, offset=self.state.offset, at=now)
            model, _ = loop.advance(self.state.models[record.model], arrival)
            assert model is not None  # it was registered
            self.state = msgspec.structs.replace(self.state, models={**self.state.models, record.model: model})
        return []

    return due_ticks


def _repeats_act_again(_: object) -> Callable[..., ModelState]:
    return lambda self, _: self


def _ids_forgotten_at_once(_: object) -> Callable[..., ModelState]:
    return lambda self, record_id: msgspec.structs.replace(self, seen=(record_id,))


def _random_ids(sound: Callable[..., Decided]) -> Callable[..., Decided]:
    return lambda *drafts, **place: msgspec.structs.replace(sound(*drafts, **place), id=str(uuid.uuid4()))


def _poison_swallowed(_: object) -> Callable[..., Folded]:
    return lambda *_: Folded(decisions=())


def _last_route_wins(_: object) -> Callable[..., bool]:
    return lambda *_: True


def _revision_ignored(_: object) -> Callable[[Route], tuple[int, ...]]:
    return lambda route: (route.incarnation, route.generation)


def _incarnation_ignored(_: object) -> Callable[[Route], tuple[int, ...]]:
    return lambda route: (route.generation, route.revision)


def _restored_as_the_same_log(sound: Callable[..., Rollout]) -> Callable[..., Rollout]:
    return lambda before, _: sound(before, before.incarnation)


IN_LOG: Final = (
    Planted(
        name="route_before_decision",
        what="The route is committed before the decision that it rests on: a crash in between leaves a swap that nobody decided.",
        plant=partial(replaced, Leader, "step", _committed_by(lambda whole: _InTwo(whole, topics.ROUTES))),
    ),
    Planted(
        name="offset_after_decisions",
        what="The snapshot with the offset is committed after the decisions, apart from them: a crash in between decides twice.",
        plant=partial(
            replaced,
            Leader,
            "step",
            _committed_by(lambda whole: _InTwo(whole, topics.DECISIONS, topics.ROUTES, topics.DEAD_LETTERS)),
        ),
    ),
    Planted(
        name="failed_commit_passed_over",
        what="A commit that the broker did not take counts as done: the leader goes on, and its decisions are lost.",
        plant=partial(replaced, Leader, "step", _committed_by(_Careless)),
    ),
    Planted(
        name="snapshot_one_batch_behind",
        what="The snapshot holds the state before the batch that it is committed with: a restart decides that batch again.",
        plant=partial(replaced, Leader, "_snapshot", _snapshot_one_batch_behind),
    ),
    Planted(
        name="snapshot_without_ids",
        what="The ids that have acted are not taken up from the snapshot: after a restart a repeated command acts again.",
        plant=partial(replaced, leader, "restore", _snapshot_without_ids),
    ),
    Planted(
        name="no_fencing",
        what="The broker does not look at the epoch of who commits: a leader that was replaced still writes decisions.",
        plant=partial(replaced, MemoryLog, "_owned", _no_fencing),
    ),
    Planted(
        name="clock_in_the_fold",
        what="The fold reads the machine's clock in place of the broker's time on the record: a replay decides otherwise.",
        plant=partial(replaced, loop, "advance", _clock_in_the_fold),
    ),
    Planted(
        name="senders_clock_believed",
        what="A tick counts by the clock of who sent it: a leader whose clock runs ahead lets deadlines pass early.",
        plant=partial(replaced, loop, "advance", _senders_clock_believed),
    ),
    Planted(
        name="tick_outside_the_log",
        what="The leader acts on a deadline at once, without a tick in the log: what follows from it stands nowhere.",
        plant=partial(replaced, Leader, "due_ticks", _tick_outside_the_log),
    ),
    Planted(
        name="repeats_act_again",
        what="Ids of commands are not remembered: a command that is delivered twice acts twice.",
        plant=partial(replaced, ModelState, "remember", _repeats_act_again),
    ),
    Planted(
        name="ids_forgotten_at_once",
        what="Only the newest id is remembered: a repeat acts again as soon as another command came between.",
        plant=partial(replaced, ModelState, "remember", _ids_forgotten_at_once),
    ),
    Planted(
        name="random_ids",
        what="Ids of decisions are drawn at random, not derived from the place of their cause: a replay gives others.",
        plant=partial(replaced, on_record, "decision", _random_ids),
    ),
    Planted(
        name="poison_swallowed",
        what="A record that cannot be read is passed over in silence: no dead letter, no refusal.",
        plant=partial(replaced, control_fold, "_refused", _poison_swallowed),
    ),
    Planted(
        name="last_route_wins",
        what="Serving takes whatever route comes last: a stale or repeated one brings back who served before.",
        plant=partial(replaced, router, "accepts", _last_route_wins),
    ),
    Planted(
        name="revision_ignored",
        what="Serving does not look at a route's revision: a quarantine that opens or ends never comes into force.",
        plant=partial(replaced, router, "age", _revision_ignored),
    ),
    Planted(
        name="incarnation_ignored",
        what="Serving does not look at the log's incarnation: routes of the log that is gone win over those of the restored one.",
        plant=partial(replaced, router, "age", _incarnation_ignored),
    ),
    Planted(
        name="restored_as_the_same_log",
        what="A model restored from the mirror keeps the old incarnation: its routes pass for those of the log that is gone.",
        plant=partial(replaced, restoration, "_rollout", _restored_as_the_same_log),
    ),
)
