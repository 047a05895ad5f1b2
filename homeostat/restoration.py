"""A model brought back into an empty log from the mirror: what speaks of the old log is forgotten, everything else stands."""

from __future__ import annotations

import msgspec

from drift import excess_filter
from drift.joined_losses import in_new_log
from homeostat.model_state import Arrival, Draft, ModelState
from serving.rollout import Rollout, Stage
from streams.codec import Undecodable, decode_msgpack
from streams.events import Restored
from streams.policy_limits import fault
from streams.quarantine import ended


class Unusable(Exception):
    """The state in the record cannot be taken up; the message says why."""


def restored(record: Restored, arrival: Arrival) -> tuple[ModelState, tuple[Draft, ...]]:
    """The model's state in the new log, and what is said of it. Raises Unusable."""
    state = state_in(record)
    if state.model != record.model:
        raise Unusable(f"its state is of model {state.model!r}")
    if wrong := _impossible(state):
        raise Unusable(wrong)
    if wrong := fault(state.policy):
        raise Unusable(wrong)
    if record.incarnation <= state.rollout.incarnation:
        raise Unusable(f"incarnation {record.incarnation} is not beyond {state.rollout.incarnation}, which the mirror knows")
    state = msgspec.structs.replace(
        state,
        rollout=_rollout(state.rollout, record.incarnation),
        losses=in_new_log(state.losses),
        # Who called them knows nothing of them any more: what is still spoilt is called again.
        incidents=tuple(ended(rule, state.watermark) for rule in state.incidents),
        revision=state.revision + 1,
    ).remember(record.id)
    drafts = [
        Draft(
            kind="Restored",
            why=record.words,
            release=state.rollout.champion,
            numbers={"incarnation": float(record.incarnation)},
        )
    ]
    order = state.job.order
    if order is not None:
        # The order stood in a log that is gone: the trainer is told again.
        state = msgspec.structs.replace(state, job=msgspec.structs.replace(state.job, started=arrival.at))
        why = "its order stood in the log that is gone"
        kind = "RecallStarted" if order.looks_first else "TrainingRetried"
        drafts.append(Draft(kind=kind, why=why, run=order.run, order=order))
    return state, tuple(drafts)


def state_in(record: Restored) -> ModelState:
    """The state that the record holds. Raises Unusable."""
    try:
        return decode_msgpack(record.state, ModelState, len(record.state))
    except Undecodable as error:
        raise Unusable(f"its state cannot be read ({error.detail})") from error


def _impossible(state: ModelState) -> str:
    """What no state of ours can be: a record that anybody may write must not break the records after it."""
    rollout = state.rollout
    moments = (state.watermark, state.registered_at, rollout.clock, rollout.since, state.job.started, *state.admission.started)
    if any(moment is not None and moment.tzinfo is None for moment in moments):
        return "its times have no zone"
    if not rollout.champion:
        return "no champion serves in it"
    if rollout.phase != "idle" and not rollout.stages:
        return f"it is in phase {rollout.phase}, without a stage"
    return excess_filter.impossible(state.staleness.excess)


def _rollout(before: Rollout, incarnation: int) -> Rollout:
    generation = before.generation + 1
    stages = before.stages
    if before.phase != "idle":
        arm = stages[-1].arm
        stages = (*stages, Stage(generation=generation, step=before.step, share=before.share, arm=arm))
    # Evidence covers offsets of its log: what was counted stays in the wealths, the vectors begin anew.
    return msgspec.structs.replace(before, incarnation=incarnation, generation=generation, stages=stages, counted=())
