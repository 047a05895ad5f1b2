"""The fold: decisions = fold(control). One record in, the model's new state, its decisions and its route out.

Pure: no clock (the broker's timestamp rides on the arrival), no I/O; ids derive from causes. A record that cannot act is
answered by a decision too (`Refused`, with its reason), so that a newer version replays the log to the same history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

import msgspec

from drift.staleness import Staleness
from homeostat import rollout_flow, training_flow
from homeostat.model_state import Arrival, Draft, ModelState, Step
from serving import canary
from serving.canary import ChampionSet, Rollout
from streams.events import (
    Decided,
    DetectorsArmed,
    DriftDetected,
    EvidenceGathered,
    LossesGathered,
    ModelRegistered,
    PolicySet,
    RetrainRequested,
    RollBack,
    Route,
    Ticked,
    TrainingFailed,
    TrainingFinished,
    derived_id,
)
from streams.policy_limits import fault

CORE: Final = "1"
"""Version of the decision core; it changes when the same log would give other decisions."""
FUTURE_LIMIT: Final = timedelta(minutes=5)
_SELF_GUARDED: Final = (EvidenceGathered, LossesGathered, Ticked)
"""Records that carry their own guard against repeats, and come so often that they would push out the ids of commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one record came to. `route` is None where the roles did not change."""

    decisions: tuple[Decided, ...]
    route: Route | None = None


def advance(state: ModelState | None, arrival: Arrival) -> tuple[ModelState | None, Outcome]:
    """Fold one record of `control` into the state of its model."""
    if state is None:
        return _first(arrival)
    generation = state.rollout.generation
    after, drafts = _guarded(state, arrival)
    decisions = _decided(drafts, arrival)
    changed = after.rollout.generation != generation
    return after, Outcome(decisions=decisions, route=_route(after, arrival, decisions) if changed else None)


def refuse(why: str, *, model: str, cause: str, partition: int, offset: int, at: datetime) -> Decided:
    """The decision on a record that cannot be folded at all (undecodable, under a wrong key)."""
    return _decision(Draft(kind="Refused", why=why), model=model, cause=cause, place=(partition, offset, 0), at=at)


def _first(arrival: Arrival) -> tuple[ModelState | None, Outcome]:
    record = arrival.record
    if not isinstance(record, ModelRegistered):
        return _nothing(f"{type(record).__name__} for a model that is not registered", arrival)
    if wrong := _dated_late(arrival) or fault(record.policy):
        return _nothing(f"not registered: {wrong}", arrival)
    rollout, _ = canary.advance(Rollout(), ChampionSet(release=record.release, at=arrival.at), record.policy.canary)
    state = ModelState(
        model=record.model,
        contract=record.contract,
        policy=record.policy,
        rollout=rollout,
        watermark=record.at,
        registered_at=record.at,
    ).remember(record.id)
    decisions = _decided((Draft(kind="Registered", why=record.reason, release=record.release),), arrival)
    return state, Outcome(decisions=decisions, route=_route(state, arrival, decisions))


def _nothing(why: str, arrival: Arrival) -> tuple[None, Outcome]:
    return None, Outcome(decisions=_decided((Draft(kind="Refused", why=why),), arrival))


def _dated_late(arrival: Arrival) -> str:
    late = arrival.record.at > arrival.at + FUTURE_LIMIT
    return f"dated {arrival.record.at.isoformat()}, later than the broker's clock" if late else ""


def _guarded(state: ModelState, arrival: Arrival) -> Step:
    record = arrival.record
    if late := _dated_late(arrival):
        return state, (Draft(kind="Refused", why=late),)
    if isinstance(record, _SELF_GUARDED):
        return _dispatch(state, arrival)
    if record.id in state.seen:
        return state, (Draft(kind="Refused", why="repeated: this id has acted before"),)
    return _dispatch(state.remember(record.id), arrival)


def _dispatch(state: ModelState, arrival: Arrival) -> Step:
    record = arrival.record
    match record:
        case ModelRegistered():
            why = "already registered; retrain it, roll it back, or set its policy"
            return state, (Draft(kind="Refused", why=why, release=record.release),)
        case PolicySet():
            return _policy_set(state, record)
        case LossesGathered():
            return training_flow.losses_gathered(state, record, arrival)
        case RetrainRequested():
            return training_flow.retrain_requested(state, record, arrival)
        case TrainingFinished() | TrainingFailed():
            return training_flow.training_ended(state, record, arrival)
        case DriftDetected():
            numbers = {"statistic": record.statistic, "threshold": record.threshold, "size": record.size}
            why = f"{record.feature} left its reference: {record.reason}"
            return state, (Draft(kind="DriftNoted", why=why, numbers=numbers, release=record.release),)
        case DetectorsArmed():
            why = f"off: {', '.join(record.off)}" if record.off else "all streams are watched"
            return state, (Draft(kind="DetectorsReady", why=why, numbers={"rows": float(record.rows)}, release=record.release),)
        case EvidenceGathered() | RollBack():
            return rollout_flow.rollout_event(state, record, arrival)
        case Ticked():
            state, first = training_flow.clock_read(state, arrival)
            state, second = rollout_flow.rollout_event(state, msgspec.structs.replace(record, at=arrival.at), arrival)
            return state, (*first, *second)
        case _:
            assert_never(record)


def _policy_set(state: ModelState, record: PolicySet) -> Step:
    if wrong := fault(record.policy):
        return state, (Draft(kind="Refused", why=wrong),)
    if record.policy.staleness.period != state.policy.staleness.period:
        # Other periods: their numbers, and an account kept in them, say nothing any more.
        account = Staleness(running=state.staleness.running)
        state = msgspec.structs.replace(state, staleness=account, last_period=-1, period_release="")
    return msgspec.structs.replace(state, policy=record.policy), (Draft(kind="PolicyChanged", why=record.reason),)


def _decided(drafts: tuple[Draft, ...], arrival: Arrival) -> tuple[Decided, ...]:
    record = arrival.record
    return tuple(
        _decision(draft, model=record.model, cause=record.id, place=(arrival.partition, arrival.offset, index), at=arrival.at)
        for index, draft in enumerate(drafts)
    )


def _decision(draft: Draft, *, model: str, cause: str, place: tuple[int, int, int], at: datetime) -> Decided:
    partition, offset, index = place
    return Decided(
        id=derived_id("decision", partition, offset, index),
        at=at,
        model=model,
        kind=draft.kind,
        why=draft.why,
        numbers={name: _rounded(value) for name, value in sorted(draft.numbers.items())},
        release=draft.release,
        run=draft.run,
        order=draft.order,
        cause=cause,
        partition=partition,
        offset=offset,
        core=CORE,
    )


def _route(state: ModelState, arrival: Arrival, decisions: tuple[Decided, ...]) -> Route:
    rollout = state.rollout
    return Route(
        id=derived_id(state.model, "route", rollout.incarnation, rollout.generation),
        at=arrival.at,
        model=state.model,
        incarnation=rollout.incarnation,
        generation=rollout.generation,
        champion=rollout.champion,
        candidate=rollout.candidate,
        step=rollout.step,
        share=rollout.share,
        control=rollout.control,
        decision=decisions[-1].id,
    )


def _rounded(value: float) -> float:
    # Nine digits: enough to recompute from, few enough that another machine's libm agrees.
    return float(f"{value:.9g}")
