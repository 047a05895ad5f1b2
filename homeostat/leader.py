"""The one leader of a partition of `control`: fences its predecessor, folds, and commits everything in one transaction.

Decisions, routes, dead letters and the snapshot (with the offset it covers) become visible together or not at all, so a
crash at any point leaves one whole old or one whole new state, and reading the log again gives the same decisions. The
mirror is told afterwards: what it misses when the process dies in between, it is told when the partition is led anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from homeostat.control_fold import Folded, PartitionState, fold
from homeostat.mirror_writer import Change, MirrorWriter
from serving import canary
from streams import topics
from streams.codec import encode_json, encode_msgpack
from streams.crash_points import BEFORE_MIRROR, NOWHERE, CrashPoints, after_commit, before_commit
from streams.events import DeadLettered, Decided, Record, Route, Snapshot, Ticked, derived_id
from streams.ports import FencedTransaction, Message, Outgoing

COMMIT_TIMEOUT_S: Final = 10.0
TICK_EVERY_S: Final = 1.0
"""A deadline that has passed is noticed so soon, and asked for again only so often."""


def owner(partition: int) -> str:
    """Key of the snapshot, and transactional id, of a partition's leader."""
    return f"control-{partition}"


class Leader:
    """Leads one partition from `state` on."""

    def __init__(
        self,
        partition: int,
        transaction: FencedTransaction,
        state: PartitionState,
        crash: CrashPoints = NOWHERE,
        mirror: MirrorWriter | None = None,
    ) -> None:
        """`transaction` has begun (its predecessor is fenced) before `state` was read."""
        self.partition = partition
        self.state = state
        self._transaction = transaction
        self._mirror = mirror
        self._crash = crash
        self._ticked_for: datetime | None = None

    def step(self, messages: Sequence[Message], told: Callable[[Folded], None]) -> None:
        """Fold messages and commit what they came to. Raises Fenced or LogUnavailable; then nothing of it is visible."""
        state, folded = self.state, []
        for message in messages:
            state, result = fold(state, message)
            folded.append(result)
        kinds = {decision.kind for result in folded for decision in result.decisions}
        for kind in sorted(kinds):
            self._crash.reached(before_commit(kind))
        self._transaction.commit([*_records(folded, self.partition), self._snapshot(state, messages[-1])], COMMIT_TIMEOUT_S)
        for kind in sorted(kinds):
            self._crash.reached(after_commit(kind))
        self._crash.reached(BEFORE_MIRROR)
        if self._mirror is not None:
            self._mirror.tell(self.partition, state.offset, self._changes(state, folded))
        self.state = state
        for result in folded:
            told(result)

    def due_ticks(self, now: datetime) -> list[Outgoing]:
        """A `Ticked` for every model with a deadline that has passed, at most one a TICK_EVERY_S."""
        if self._ticked_for is not None and (now - self._ticked_for).total_seconds() < TICK_EVERY_S:
            return []
        ticks = []
        for name, model in self.state.models.items():
            deadlines = [model.job.deadline(model.policy.admission), canary.next_deadline(model.rollout, model.policy.canary)]
            passed = [deadline for deadline in deadlines if deadline is not None and deadline <= now]
            if passed:
                tick = Ticked(
                    id=derived_id(name, "tick", min(passed).isoformat(), self.state.offset),
                    at=now,
                    model=name,
                    actor="controller",
                    reason=f"the deadline {min(passed).isoformat()} has passed",
                )
                ticks.append(Outgoing(topic=topics.CONTROL, key=name.encode(), value=encode_json(tick)))
        if ticks:
            self._ticked_for = now
        return ticks

    def close(self) -> None:
        """Release the transaction's client."""
        self._transaction.close()

    def _changes(self, state: PartitionState, folded: Sequence[Folded]) -> list[Change]:
        """The models that were decided on, or that changed without a word."""
        decided: dict[str, list[Decided]] = defaultdict(list)
        for result in folded:
            for decision in result.decisions:
                decided[decision.model].append(decision)
        return [
            Change(state=model, decisions=decided[name])
            for name, model in state.models.items()
            if name in decided or model is not self.state.models.get(name)
        ]

    def _snapshot(self, state: PartitionState, newest: Message) -> Outgoing:
        key = owner(self.partition)
        snapshot = Snapshot(
            id=key,
            at=newest.broker_time,
            model="",
            topic=topics.CONTROL,
            partition=self.partition,
            offset=state.offset,
            state=msgspec.msgpack.encode(state),
        )
        return Outgoing(topic=topics.SNAPSHOTS, key=key.encode(), value=encode_msgpack(snapshot))


def restore(snapshot: Snapshot) -> PartitionState:
    """The state that a leader's snapshot holds."""
    return msgspec.msgpack.decode(snapshot.state, type=PartitionState)


def _records(folded: Sequence[Folded], partition: int) -> list[Outgoing]:
    records = []
    for result in folded:
        # Same partition number as the cause, also for what has no usable key.
        records += [_outgoing(topics.DECISIONS, decision, partition) for decision in result.decisions]
        if result.route is not None:
            records.append(_outgoing(topics.ROUTES, result.route, partition))
        if result.dead_letter is not None:
            records.append(_outgoing(topics.DEAD_LETTERS, result.dead_letter, None))
    return records


def _outgoing(topic: str, record: Decided | Route | DeadLettered, partition: int | None) -> Outgoing:
    assert isinstance(record, Record)
    return Outgoing(topic=topic, key=record.model.encode(), value=encode_json(record), partition=partition)
