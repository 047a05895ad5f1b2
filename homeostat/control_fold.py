"""One partition of `control`, folded: bytes in, decisions, routes and dead letters out. The controller and `replay` share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from homeostat import loop
from homeostat.model_state import Arrival, ModelState
from streams import topics
from streams.codec import LONGEST_DETAIL, Undecodable, decode_control
from streams.dead_letter import dead_letter, model_named
from streams.events import ChallengerScored, Control, DeadLettered, Decided, QualityIncident, Route
from streams.partitioner import partition_of
from streams.ports import Message

LIMIT_BYTES: Final = 128 * 1024
"""Of a record of `control`. A decision repeats parts of it, escaped anew at up to six bytes for one, and must fit its topic."""

LONGEST_ID: Final = 256
_REMEMBERED: Final = ("id", "model", "release", "contract", "run", "feature", "incident", "decision", "to")


class PartitionState(msgspec.Struct, frozen=True, kw_only=True):
    """State of every model on one partition, folded up to `offset` (exclusive)."""

    offset: int = 0
    models: dict[str, ModelState] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What one record of the log came to."""

    decisions: tuple[Decided, ...]
    route: Route | None = None
    dead_letter: DeadLettered | None = None


def fold(state: PartitionState, message: Message) -> tuple[PartitionState, Folded]:
    """Fold one message; whatever it holds, the partition goes on and a decision says what became of it."""
    after = message.offset + 1
    try:
        record = decode_control(message.value, LIMIT_BYTES)
    except Undecodable as error:
        return msgspec.structs.replace(state, offset=after), _refused(
            message, "", f"{error.reason}: {error.detail}", error.reason
        )
    if why := _too_long(record):
        return msgspec.structs.replace(state, offset=after), _refused(message, record.id[:LONGEST_ID], why, "wrong_schema")
    if message.key != record.model.encode():
        why = f"wrong key: {message.key!r} for a record of model {record.model!r}"
        return msgspec.structs.replace(state, offset=after), _refused(message, record.id, why, "wrong_key")
    if message.partition != partition_of(message.key, topics.named(topics.CONTROL).partitions):
        # Elsewhere a model's order, and the dropping of repeats, would break.
        why = f"wrong partition: {message.partition} for key {message.key!r}; write by key, with murmur2"
        return msgspec.structs.replace(state, offset=after), _refused(message, record.id, why, "wrong_partition")
    arrival = Arrival(record=record, partition=message.partition, offset=message.offset, at=message.broker_time)
    model, outcome = loop.advance(state.models.get(record.model), arrival)
    models = state.models if model is None else {**state.models, record.model: model}
    return PartitionState(offset=after, models=models), Folded(decisions=outcome.decisions, route=outcome.route)


def _too_long(record: Control) -> str:
    """Ids and names are remembered and travel in routes, and what holds them must fit its topic: '' when all are short."""
    rule = record.rule if isinstance(record, QualityIncident) else None
    names = [(name, getattr(record, name, "")) for name in _REMEMBERED]
    names += [(f"rule.{name}", getattr(rule, name, "")) for name in ("incident", "feature")]
    names += [("scores.release", score.release) for score in record.scores] if isinstance(record, ChallengerScored) else []
    for name, value in names:
        if isinstance(value, str) and len(value) > LONGEST_ID:
            return f"its {name} has {len(value)} characters; at most {LONGEST_ID} are taken"
    return ""


def _refused(message: Message, cause: str, why: str, reason: str) -> Folded:
    model, why = model_named(message), why[:LONGEST_DETAIL]
    decision = loop.refuse(
        why, model=model, cause=cause, partition=message.partition, offset=message.offset, at=message.broker_time
    )
    return Folded(decisions=(decision,), dead_letter=dead_letter(message, reason, why, model=model))
