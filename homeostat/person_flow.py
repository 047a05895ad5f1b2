"""What people say to a model: hold it, let it go on, agree, offer a release, override gate and shadow.

None of it skips the paired losses of a candidate that answers: they go on counting through steps and bake.
"""

from __future__ import annotations

import msgspec

from homeostat import training_flow
from homeostat.model_state import ABOUT_BUYING, Arrival, Draft, ModelState, Step
from homeostat.rollout_flow import rollout_event
from serving.canary import Agreed, CandidateReady, Held, ShadowPassedOver
from streams.events import Approve, Override, Pause, Promote, Resume, derived_id


def held(state: ModelState, record: Pause | Resume, arrival: Arrival) -> Step:
    """The kill switch, on or off."""
    on = isinstance(record, Pause)
    if on == state.rollout.paused:
        return state, (Draft(kind="Refused", why="the model is held already" if on else "the model is not held"),)
    state, more = rollout_event(state, Held(on=on, at=arrival.at), arrival)
    return state, (Draft(kind="Paused" if on else "Resumed", why=record.words), *more)


def agreed(state: ModelState, record: Approve, arrival: Arrival) -> Step:
    """A person agrees to what was asked."""
    question = next((one for one in state.asked if one.decision == record.decision), None)
    if question is None:
        have = ", ".join(one.decision for one in state.asked) or "none"
        return state, (Draft(kind="Refused", why=f"decision {record.decision} asks for nothing now; open are: {have}"),)
    state = msgspec.structs.replace(state, asked=tuple(one for one in state.asked if one is not question))
    said = Draft(kind="Approved", why=record.words, run="" if question.what in ABOUT_BUYING else question.what)
    if question.what in ABOUT_BUYING:
        state, more = training_flow.agreed(state, question.what, arrival)
    else:
        state, more = rollout_event(state, Agreed(at=arrival.at), arrival)
    return state, (said, *more)


def offered(state: ModelState, record: Promote, arrival: Arrival) -> Step:
    """A release comes in as candidate without a training: through shadow and canary, as any other."""
    if refusal := _cannot_offer(state, record.release):
        return state, (Draft(kind="Refused", why=refusal, release=record.release),)
    run = derived_id(state.model, "offer", record.id)
    ready = CandidateReady(release=record.release, run=run, at=arrival.at, bought=False)
    state, more = rollout_event(state, ready, arrival)
    said = Draft(kind="CandidateOffered", why=record.words, release=record.release, run=run)
    return state, (said, *more)


def overridden(state: ModelState, record: Override, arrival: Arrival) -> Step:
    """A candidate gets its first share of rows although gate or shadow have not let it through."""
    refusal = _cannot_override(state, record.release)
    if refusal:
        return state, (Draft(kind="Refused", why=refusal, release=record.release),)
    why = record.words
    rollout = state.rollout
    if record.release == rollout.candidate:
        state, more = rollout_event(state, ShadowPassedOver(at=arrival.at), arrival)
        return state, (Draft(kind="ShadowOverridden", why=why, release=record.release, run=rollout.run), *more)
    made = state.made_by(record.release)
    assert made is not None  # or else it was refused above
    ready = CandidateReady(release=made.release, run=made.run, at=arrival.at, straight=True, bought=False)
    state, more = rollout_event(state, ready, arrival)
    return state, (Draft(kind="GateOverridden", why=why, release=record.release, run=made.run), *more)


def _cannot_offer(state: ModelState, release: str) -> str:
    rollout = state.rollout
    if release == rollout.champion:
        return f"release {release[:12]} serves already"
    if release in (rollout.candidate, rollout.waiting):
        return f"release {release[:12]} is being tried, or waits, already"
    return ""


def _cannot_override(state: ModelState, release: str) -> str:
    if state.rollout.paused:
        return "a person holds the model; `resume` it first"
    if state.policy.canary.steps[0] >= 1.0:
        return "the policy has no step below 1.0: it would serve everybody unproved"
    if release == state.rollout.candidate:
        return "" if state.rollout.phase == "shadow" else f"release {release[:12]} answers rows already"
    made = state.made_by(release)
    if made is None:
        have = ", ".join(one.release[:12] for one in state.made) or "none"
        return f"no run of this model made release {release[:12]} lately, or it has answered before; open to an override: {have}"
    return training_flow.spoilt_by(state, made)
