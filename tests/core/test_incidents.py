"""Data bugs in the fold: the quarantine travels in route and orders, spoilt candidates go, people have the last word."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from streams.events import AcceptChange, QualityIncident, QuarantineRule, ReleaseQuarantine
from tests.core.control_log import EVENT_T0, POLICY, ControlLog, evidence, finished, promote, registered, retrain

RULE = QuarantineRule(incident="bug-1", feature="price", kind="unit", since=EVENT_T0 - timedelta(hours=1), low=0.0, high=1.0)
_BY = {"at": EVENT_T0, "model": "m", "actor": "ada", "reason": "because"}


def called(rule: QuarantineRule = RULE, *, closed: bool = False, release: str = "first") -> QualityIncident:
    return QualityIncident(
        id=f"{rule.incident}-{closed}",
        at=EVENT_T0,
        model="m",
        actor="agents",
        reason="price: 1000 times too large",
        release=release,
        rule=msgspec.structs.replace(rule, until=EVENT_T0) if closed else rule,
        closed=closed,
        numbers={"factor": 1_000.0},
    )


def started() -> ControlLog:
    log = ControlLog()
    log.tell(registered())
    return log


def test_an_incident_changes_what_is_kept_out_and_no_role() -> None:
    """Route revision up, generation as it was; a later order leaves its rows out, also after it is closed."""
    log = started()
    before = log.routes[-1]
    assert log.tell(called()) == ["IncidentOpened"]
    route = log.routes[-1]
    assert (route.generation, route.revision) == (before.generation, before.revision + 1)
    assert route.quarantine == (RULE,)
    assert log.tell(called(closed=True)) == ["IncidentClosed"]
    assert log.routes[-1].quarantine == ()
    log.tell(retrain())
    order = log.decisions[-1].order
    assert order is not None
    assert [(rule.incident, rule.until) for rule in order.quarantine] == [("bug-1", EVENT_T0)]


def test_evidence_goes_on_through_an_incident() -> None:
    """The rollout is not begun anew by a route that changes no role."""
    log = started()
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    shadow = log.routes[-1]
    later = msgspec.structs.replace(RULE, since=EVENT_T0)  # after the dataset was made
    log.tell(called(later))
    assert log.tell(evidence(shadow, 300, better=15, worse=5)) == ["StepTaken"]


def test_a_candidate_trained_on_what_turns_out_to_be_spoilt_goes() -> None:
    """In shadow it is rejected, waiting it leaves the queue, in flight it is refused when it comes."""
    log = started()
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    assert log.tell(called()) == ["IncidentOpened", "CandidateRejected"]
    flying = started()
    flying.tell(retrain())
    run = flying.decisions[-1].run
    flying.tell(called())
    assert flying.tell(finished(run)) == ["TrainingEnded", "CandidateRejected"]
    # The control: an order made after the incident leaves its rows out, so its candidate is tried.
    flying.tell(retrain("req-2"))
    assert flying.tell(finished(flying.decisions[-1].run, "third")) == ["TrainingEnded", "ShadowStarted"]


def test_a_person_accepts_a_change() -> None:
    """The incident ends, the feature's range is lifted, its rows are learnt from."""
    log = started()
    log.tell(called())
    assert log.tell(AcceptChange(id="a", feature="price", **_BY)) == ["ChangeAccepted", "IncidentClosed"]  # type: ignore[arg-type]
    assert (log.routes[-1].quarantine, log.routes[-1].accepted) == ((), ("price",))
    log.tell(retrain())
    order = log.decisions[-1].order
    assert order is not None
    assert (order.quarantine, order.accepted) == ((), ("price",))
    assert log.tell(AcceptChange(id="b", feature="price", **_BY)) == ["Refused"]  # type: ignore[arg-type]
    # What was on its way then is old news; called under a later champion it is another matter, and may be accepted again.
    later = msgspec.structs.replace(RULE, incident="bug-2")
    assert log.tell(called(later)) == ["Refused"]
    log.tell(finished(log.decisions[-2].run or order.run))
    promote(log)
    assert log.tell(called(msgspec.structs.replace(later, incident="bug-3"), release="second")) == ["IncidentOpened"]
    assert log.routes[-1].quarantine != ()
    assert log.tell(AcceptChange(id="c", feature="price", **_BY)) == ["ChangeAccepted", "IncidentClosed"]  # type: ignore[arg-type]
    assert log.routes[-1].accepted == ("price",)


def test_a_feature_that_is_called_anew_has_one_open_incident() -> None:
    """Whoever opens the second knows nothing of the first any more."""
    log = started()
    log.tell(called())
    assert log.tell(called(msgspec.structs.replace(RULE, incident="bug-2"))) == ["IncidentOpened", "IncidentClosed"]
    assert [rule.incident for rule in log.routes[-1].quarantine] == ["bug-2"]


def test_a_person_ends_one_incident() -> None:
    """Its rows are learnt from again; an incident that is not known is refused with those that are."""
    log = started()
    log.tell(called())
    assert log.tell(ReleaseQuarantine(id="x", incident="bug-9", **_BY)) == ["Refused"]  # type: ignore[arg-type]
    assert "bug-1" in log.decisions[-1].why
    assert log.tell(ReleaseQuarantine(id="y", incident="bug-1", **_BY)) == ["IncidentClosed"]  # type: ignore[arg-type]
    assert log.routes[-1].quarantine == ()
    log.tell(retrain())
    order = log.decisions[-1].order
    assert order is not None
    assert (order.quarantine, [rule.incident for rule in order.released]) == ((), ["bug-1"])


def test_incidents_that_make_no_sense_are_refused() -> None:
    """Twice, of an unknown release, from the future, closed before opened, or where the policy wants none."""
    log = started()
    assert log.tell(called(closed=True)) == ["Refused"]
    assert log.tell(called(release="nobody's")) == ["Refused"]
    future = msgspec.structs.replace(RULE, incident="bug-2", since=EVENT_T0 + timedelta(hours=1))
    assert log.tell(called(future)) == ["Refused"]
    log = started()
    log.tell(called())
    assert log.tell(msgspec.structs.replace(called(), id="other")) == ["Refused"]
    off = ControlLog()
    quarantine = msgspec.structs.replace(POLICY.quarantine, enabled=False)
    off.tell(registered(policy=msgspec.structs.replace(POLICY, quarantine=quarantine)))
    assert off.tell(called()) == ["Refused"]


def test_incidents_are_bounded_and_open_ones_are_kept() -> None:
    """The oldest closed ones are forgotten first; beyond the bound a person has to look."""
    log = started()
    log.tell(called(msgspec.structs.replace(RULE, incident="open", feature="other")))
    for number in range(40):
        rule = msgspec.structs.replace(RULE, incident=f"bug-{number}")
        assert log.tell(called(rule)) == ["IncidentOpened"]
        log.tell(called(rule, closed=True))
    (state,) = log.state.models.values()
    assert len(state.incidents) == 32
    assert state.incidents[0].incident == "open"
    for number in range(100, 131):
        log.tell(called(msgspec.structs.replace(RULE, incident=f"bug-{number}", feature=f"f{number}")))
    assert log.tell(called(msgspec.structs.replace(RULE, incident="one-too-many", feature="more"))) == ["Refused"]
