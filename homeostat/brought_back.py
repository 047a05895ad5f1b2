"""What a restore can bring back: of every model in the mirror the records that make it anew, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from homeostat.control_fold import LIMIT_BYTES, PartitionState, fold
from homeostat.last_served import LastServed
from homeostat.mirror import Mirrored
from homeostat.model_state import ModelState
from streams import topics
from streams.codec import Undecodable, decode_msgpack, encode_json
from streams.events import PolicySet, Restored, Steering, derived_id
from streams.partitioner import partition_of
from streams.ports import Message


class NotBroughtBack(Exception):
    """The controllers would refuse what the mirror holds of a model; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """A model as it comes back."""

    model: str
    incarnation: int
    champion: str
    as_of: datetime
    """Event time up to which its losses were gathered."""
    records: tuple[Steering, ...]


def back(one: Mirrored, served: LastServed | None, *, actor: str, reason: str, now: datetime) -> Back:
    """A model's records. `served`: the route that serving last had of it. Raises NotBroughtBack."""
    try:
        state = decode_msgpack(one.state, ModelState, len(one.state))
    except Undecodable as error:
        raise NotBroughtBack(f"its state cannot be read ({error.detail})") from error
    # Beyond what serving has seen too, or it would keep to the old route.
    incarnation = max(one.incarnation, served.incarnation if served else 0) + 1
    record = _restored(one.model, state, incarnation, actor, reason, now)
    if why := _refused(record, now):
        raise NotBroughtBack(why)
    policy = PolicySet(
        id=derived_id(one.model, "restored policy", incarnation),
        at=now,
        model=one.model,
        actor=actor,
        reason=f"as before the log was lost: {reason}",
        policy=state.policy,
    )
    return Back(
        model=one.model,
        incarnation=incarnation,
        champion=state.rollout.champion,
        as_of=state.watermark,
        records=(record, policy),
    )


def lost_since(one: Mirrored, served: LastServed | None) -> str:
    """What serving had seen and the mirror has not: '' where there is nothing."""
    if served is None:
        return ""
    try:
        rollout = decode_msgpack(one.state, ModelState, len(one.state)).rollout
    except Undecodable:
        return ""
    if (served.incarnation, served.generation) <= (rollout.incarnation, rollout.generation):
        return ""
    return (
        f"the mirror of {one.model} is behind: it comes back as of incarnation {rollout.incarnation}, generation "
        f"{rollout.generation} with {rollout.champion[:12]}, while serving was at {served.incarnation}, {served.generation} "
        f"with {served.champion[:12]}: what was decided in between is lost, see `homeostat promote`"
    )


def unknown(served: Mapping[str, LastServed], mirrored: tuple[Mirrored, ...]) -> list[str]:
    """Models that serving had and the mirror has not."""
    return sorted(set(served) - {one.model for one in mirrored})


def _refused(record: Restored, now: datetime) -> str:
    """Why the controllers would not take the record, asked of their own fold: '' when they do."""
    key = record.model.encode()
    partition = partition_of(key, topics.named(topics.CONTROL).partitions)
    message = Message(topic=topics.CONTROL, partition=partition, offset=0, broker_time=now, key=key, value=encode_json(record))
    _, folded = fold(PartitionState(), message)
    return "" if folded.decisions[0].kind == "Restored" else folded.decisions[0].why


def _restored(model: str, state: ModelState, incarnation: int, actor: str, reason: str, now: datetime) -> Restored:
    record = Restored(
        id=derived_id(model, "restored", incarnation),
        at=now,
        model=model,
        actor=actor,
        reason=reason,
        incarnation=incarnation,
        state=msgspec.msgpack.encode(state),
    )
    if len(encode_json(record)) <= LIMIT_BYTES or not state.seen:
        return record
    # Ids of commands may be long. The oldest go: their repeats would have to come from beyond the log that is gone.
    shorter = msgspec.structs.replace(state, seen=state.seen[len(state.seen) // 4 + 1 :])
    return _restored(model, shorter, incarnation, actor, reason, now)
