"""A model brought back into an empty log from the mirror: what speaks of the old log is forgotten, everything else stands."""

from __future__ import annotations

from datetime import datetime

import msgspec

from homeostat.model_state import Arrival, Draft, ModelState
from serving.rollout import Rollout, Stage
from streams.events import QuarantineRule, Restored
from streams.policy_limits import fault


class Unusable(Exception):
    """The state in the record cannot be taken up; the message says why."""


def restored(record: Restored, arrival: Arrival) -> tuple[ModelState, tuple[Draft, ...]]:
    """The model's state in the new log, and what is said of it. Raises Unusable."""
    try:
        state = msgspec.msgpack.decode(record.state, type=ModelState)
    except msgspec.DecodeError as error:
        raise Unusable(f"its state cannot be read ({error})") from error
    if state.model != record.model:
        raise Unusable(f"its state is of model {state.model!r}")
    if wrong := fault(state.policy):
        raise Unusable(wrong)
    if record.incarnation <= state.rollout.incarnation:
        raise Unusable(f"incarnation {record.incarnation} is not beyond {state.rollout.incarnation}, which the mirror knows")
    state = msgspec.structs.replace(
        state,
        rollout=_rollout(state.rollout, record.incarnation),
        # Who called them knows nothing of them any more: what is still spoilt is called again.
        incidents=tuple(_ended(rule, state.watermark) for rule in state.incidents),
        revision=state.revision + 1,
    ).remember(record.id)
    drafts = [
        Draft(
            kind="Restored",
            why=f"{record.actor}: {record.reason}",
            release=state.rollout.champion,
            numbers={"incarnation": float(record.incarnation)},
        )
    ]
    order = state.job.order
    if order is not None:
        # The order stood in a log that is gone: the trainer is told again.
        state = msgspec.structs.replace(state, job=msgspec.structs.replace(state.job, started=arrival.at))
        why = "its order stood in the log that is gone"
        kind = "RecallStarted" if order.recall else "TrainingRetried"
        drafts.append(Draft(kind=kind, why=why, run=order.run, order=order))
    return state, tuple(drafts)


def _ended(rule: QuarantineRule, at: datetime) -> QuarantineRule:
    return rule if rule.until is not None else msgspec.structs.replace(rule, until=max(rule.since, at))


def _rollout(before: Rollout, incarnation: int) -> Rollout:
    generation = before.generation + 1
    stages = before.stages
    if before.phase != "idle":
        arm = stages[-1].arm
        stages = (*stages, Stage(generation=generation, step=before.step, share=before.share, arm=arm))
    # Evidence covers offsets of its log: what was counted stays in the wealths, the vectors begin anew.
    return msgspec.structs.replace(before, incarnation=incarnation, generation=generation, stages=stages, counted=())
