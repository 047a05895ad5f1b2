"""The fold: decisions = fold(control). One record in, the model's new state, its decisions and its route out.

Pure: no clock (the broker's timestamp rides on the arrival), no I/O; ids derive from causes. A record that cannot act is
answered by a decision too (`Refused`, with its reason), so that a newer version replays the log to the same history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias, assert_never

import msgspec

from drift import joined_losses
from drift.excess_filter import Excess
from drift.joined_losses import JoinedLosses
from drift.staleness import Staleness
from homeostat import incident_flow, measuring_flow, person_flow, restoration, rollout_flow, training_flow
from homeostat.model_state import ABOUT_BUYING, ASKED_LIMIT, Arrival, Asked, Draft, ModelState, Step
from homeostat.on_record import decided, decision, route_of
from serving import canary
from serving.canary import ChampionSet, Rollout
from streams import model_name
from streams.events import (
    AcceptChange,
    Approve,
    ChallengerScored,
    Decided,
    DetectorsArmed,
    DriftDetected,
    EvidenceGathered,
    LossesGathered,
    ModelRegistered,
    Override,
    Pause,
    PolicySet,
    Promote,
    QualityIncident,
    RecallFinished,
    ReleaseQuarantine,
    Restored,
    Resume,
    RetrainRequested,
    RollBack,
    Route,
    Ticked,
    TrainingFailed,
    TrainingFinished,
)
from streams.policy_limits import fault
from streams.policy_log import AHEAD

_OfAgents: TypeAlias = LossesGathered | ChallengerScored | EvidenceGathered | DriftDetected | DetectorsArmed | QualityIncident
_OfPeople: TypeAlias = (
    PolicySet | RetrainRequested | RollBack | AcceptChange | ReleaseQuarantine | Promote | Override | Approve | Pause | Resume
)
_SELF_GUARDED: Final = (EvidenceGathered, LossesGathered, ChallengerScored, Ticked)
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
    after, drafts = _guarded(state, arrival)
    roles_changed = after.rollout.generation != state.rollout.generation
    decisions = decided(drafts, arrival, champion=after.rollout.champion if roles_changed else "")
    after = _questions(after, drafts, decisions)
    changed = roles_changed or after.revision != state.revision
    return after, Outcome(decisions=decisions, route=route_of(after, arrival, decisions) if changed else None)


def refuse(why: str, *, model: str, cause: str, partition: int, offset: int, at: datetime) -> Decided:
    """The decision on a record that cannot be folded at all (undecodable, under a wrong key)."""
    return decision(Draft(kind="Refused", why=why), model=model, cause=cause, place=(partition, offset, 0), at=at)


def _first(arrival: Arrival) -> tuple[ModelState | None, Outcome]:
    record = arrival.record
    if isinstance(record, Restored):
        return _restored(record, arrival)
    if not isinstance(record, ModelRegistered):
        return _nothing(f"{type(record).__name__} for a model that is not registered", arrival)
    if wrong := model_name.fault(record.model) or _dated_late(arrival) or fault(record.policy):
        return _nothing(f"not registered: {wrong}", arrival)
    rollout, _ = canary.advance(Rollout(), ChampionSet(release=record.release, at=arrival.at), record.policy.canary)
    state = ModelState(
        model=record.model,
        contract=record.contract,
        policy=record.policy,
        losses=JoinedLosses(own=not record.policy.challenger.enabled),
        rollout=rollout,
        watermark=record.at,
        registered_at=record.at,
    ).remember(record.id)
    registered = Draft(kind="Registered", why=record.reason, release=record.release)
    decisions = decided((registered,), arrival, champion=record.release)
    return state, Outcome(decisions=decisions, route=route_of(state, arrival, decisions))


def _restored(record: Restored, arrival: Arrival) -> tuple[ModelState | None, Outcome]:
    if late := _dated_late(arrival):
        return _nothing(f"not restored: {late}", arrival)
    try:
        state, drafts = restoration.restored(record, arrival)
    except restoration.Unusable as unusable:
        return _nothing(f"not restored: {unusable}", arrival)
    decisions = decided(drafts, arrival, champion=state.rollout.champion)
    return state, Outcome(decisions=decisions, route=route_of(state, arrival, decisions))


def _nothing(why: str, arrival: Arrival) -> tuple[None, Outcome]:
    return None, Outcome(decisions=decided((Draft(kind="Refused", why=why),), arrival, champion=""))


def _dated_late(arrival: Arrival) -> str:
    late = arrival.record.at > arrival.at + AHEAD
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
        case LossesGathered() | ChallengerScored() | EvidenceGathered() | DriftDetected() | DetectorsArmed() | QualityIncident():
            return _from_agents(state, record, arrival)
        case RecallFinished() | TrainingFinished() | TrainingFailed():
            return training_flow.training_ended(state, record, arrival)
        case Ticked():
            state, first = training_flow.clock_read(state, arrival)
            state, second = rollout_flow.rollout_event(state, msgspec.structs.replace(record, at=arrival.at), arrival)
            return state, (*first, *second)
        case ModelRegistered() | Restored():
            why = "already registered; retrain it, roll it back, or set its policy"
            return state, (Draft(kind="Refused", why=why, release=state.rollout.champion),)
        case _:
            return _from_people(state, record, arrival)


def _from_agents(state: ModelState, record: _OfAgents, arrival: Arrival) -> Step:
    match record:
        case LossesGathered():
            return measuring_flow.losses_gathered(state, record, arrival)
        case ChallengerScored():
            return measuring_flow.challenger_scored(state, record, arrival)
        case EvidenceGathered():
            return rollout_flow.rollout_event(state, record, arrival)
        case QualityIncident():
            return incident_flow.incident_called(state, record, arrival)
        case DriftDetected():
            return measuring_flow.drift_detected(state, record, arrival)
        case DetectorsArmed():
            why = f"off: {', '.join(record.off)}" if record.off else "all streams are watched"
            return state, (Draft(kind="DetectorsReady", why=why, numbers={"rows": float(record.rows)}, release=record.release),)
        case _:
            assert_never(record)


def _from_people(state: ModelState, record: _OfPeople, arrival: Arrival) -> Step:
    match record:
        case PolicySet():
            return _policy_set(state, record)
        case RetrainRequested():
            return training_flow.retrain_requested(state, record, arrival)
        case RollBack():
            return rollout_flow.rollout_event(state, record, arrival)
        case AcceptChange():
            return incident_flow.change_accepted(state, record)
        case ReleaseQuarantine():
            return incident_flow.quarantine_released(state, record)
        case Promote():
            return person_flow.offered(state, record, arrival)
        case Override():
            return person_flow.overridden(state, record, arrival)
        case Approve():
            return person_flow.agreed(state, record, arrival)
        case Pause() | Resume():
            return person_flow.held(state, record, arrival)
        case _:
            assert_never(record)


def _policy_set(state: ModelState, record: PolicySet) -> Step:
    if wrong := fault(record.policy):
        return state, (Draft(kind="Refused", why=wrong),)
    if record.policy.staleness.period != state.policy.staleness.period:
        # Other periods: their numbers, and an account kept in them, say nothing any more.
        account = Staleness(excess=Excess(frozen=state.champion_frozen), running=state.staleness.running)
        losses = joined_losses.in_other_periods(state.losses)
        state = msgspec.structs.replace(state, staleness=account, losses=losses, last_period=-1)
    if record.policy.autonomy != "auto":
        state = rollout_flow.word_wanted(state)
    return msgspec.structs.replace(state, policy=record.policy), (Draft(kind="PolicyChanged", why=record.reason),)


def _questions(state: ModelState, drafts: tuple[Draft, ...], decisions: tuple[Decided, ...]) -> ModelState:
    """Remember what a person is asked; a question about a candidate that is tried no more is dropped."""
    asked = [
        Asked(decision=decision.id, what=draft.asks) for draft, decision in zip(drafts, decisions, strict=True) if draft.asks
    ]
    trying = state.rollout.run if state.rollout.phase == "shadow" else ""
    buying = state.policy.autonomy == "suggest" and not state.job.run
    kept = tuple(
        one for one in (*state.asked, *asked) if (buying if one.what in ABOUT_BUYING else trying and one.what == trying)
    )[-ASKED_LIMIT:]
    return state if kept == state.asked else msgspec.structs.replace(state, asked=kept)
