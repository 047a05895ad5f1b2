"""Data bugs called by the triage, and what people say of them: rules of quarantine in, rows left out, candidates re-checked.

A rule travels in the route (rows are flagged as they come) and in every training order (rows are left out of datasets, also
those that came before the bug was recognised). It changes no role: the route's revision rises, its generation does not.
"""

from __future__ import annotations

import msgspec

from homeostat import incident_rules
from homeostat.model_state import INCIDENTS_LIMIT, Arrival, Draft, ModelState, Step
from homeostat.rollout_flow import rollout_event
from homeostat.training_flow import spoilt_by
from serving.canary import Spoilt
from streams.events import AcceptChange, QualityIncident, QuarantineRule, ReleaseQuarantine


def incident_called(state: ModelState, record: QualityIncident, arrival: Arrival) -> Step:
    """The agents open or close an incident."""
    rule = record.rule
    known = _known(state, rule.incident)
    if record.closed:
        if known is None or known.until is not None:
            return state, (Draft(kind="Refused", why=f"incident {rule.incident} is not open"),)
        rules = incident_rules.closed(state.incidents, rule.incident, rule.until or record.at)
        return _with(state, rules), (_closed(known, record.reason, record.numbers),)
    if refusal := _unusable(state, record, known):
        return state, (Draft(kind="Refused", why=refusal),)
    replaced = tuple(one for one in state.quarantine if one.feature == rule.feature)
    state = _with(state, incident_rules.opened(state.incidents, rule))
    opened = Draft(
        kind="IncidentOpened",
        why=record.reason,
        numbers=dict(record.numbers),
        release=record.release,
        incident=rule.incident,
    )
    closed = tuple(_closed(one, "the feature is called anew", {}) for one in replaced)
    state, more = _candidate_checked(state, arrival)
    return state, (opened, *closed, *more)


def change_accepted(state: ModelState, record: AcceptChange) -> Step:
    """A person says that a feature really changed: its rows are rows like any other."""
    about = tuple(one for one in state.incidents if one.feature == record.feature)
    if record.feature in state.accepted and not about:
        return state, (Draft(kind="Refused", why=f"the change of {record.feature} is accepted already"),)
    rest = incident_rules.without_feature(state.incidents, record.feature)
    served = (*state.rollout.served, state.rollout.champion)
    names = incident_rules.with_accepted(state.accepted, record.feature)
    under = {name: releases for name, releases in state.accepted_under.items() if name in names}
    state = msgspec.structs.replace(state, accepted=names, accepted_under={**under, record.feature: served})
    said = Draft(kind="ChangeAccepted", why=f"{record.feature}: {record.words}")
    why = f"{record.actor} accepts the change"
    return _with(state, rest), (said, *(_closed(rule, why, {}) for rule in about if rule.until is None))


def quarantine_released(state: ModelState, record: ReleaseQuarantine) -> Step:
    """A person ends one incident: its rows are learnt from again."""
    rule = _known(state, record.incident)
    if rule is None:
        have = ", ".join(one.incident for one in state.incidents) or "none"
        return state, (Draft(kind="Refused", why=f"no incident {record.incident}; known are: {have}"),)
    rest = incident_rules.without(state.incidents, record.incident)
    released = incident_rules.with_released(state.released, rule, state.watermark)
    state = msgspec.structs.replace(state, released=released)
    return _with(state, rest), (_closed(rule, f"released by {record.words}", {}),)


def _known(state: ModelState, incident: str) -> QuarantineRule | None:
    return next((one for one in state.incidents if one.incident == incident), None)


def _unusable(state: ModelState, record: QualityIncident, known: QuarantineRule | None) -> str:
    rule = record.rule
    if known is not None:
        return f"incident {rule.incident} is known already"
    if record.release not in state.rollout.known_releases():
        return f"it speaks of release {record.release[:12]}, which this model does not know"
    if rule.until is not None or rule.since > record.at:
        return "an incident is opened with a beginning that lies in the past, and no end"
    if record.release in state.accepted_under.get(rule.feature, ()):
        return f"a person accepted the change of {rule.feature} under release {record.release[:12]}"
    if not state.policy.quarantine.enabled:
        return "the policy wants no quarantine"
    if len(state.quarantine) >= INCIDENTS_LIMIT:
        return f"{INCIDENTS_LIMIT} incidents are open: a person has to look"
    return ""


def _candidate_checked(state: ModelState, arrival: Arrival) -> Step:
    """Whoever is tried, or waits, was perhaps trained on what turns out to be spoilt."""
    rollout = state.rollout
    drafts: tuple[Draft, ...] = ()
    for release in (rollout.candidate, rollout.waiting):
        made = state.made_by(release) if release else None
        why = spoilt_by(state, made) if made is not None else ""
        if why:
            state, more = rollout_event(state, Spoilt(release=release, why=why, at=arrival.at), arrival)
            drafts = (*drafts, *more)
    return state, drafts


def _closed(rule: QuarantineRule, why: str, numbers: dict[str, float]) -> Draft:
    why = f"{rule.feature} ({rule.kind}): {why}"
    return Draft(kind="IncidentClosed", why=why, numbers=dict(numbers), incident=rule.incident)


def _with(state: ModelState, incidents: tuple[QuarantineRule, ...]) -> ModelState:
    return msgspec.structs.replace(state, incidents=incidents, revision=state.revision + 1)
