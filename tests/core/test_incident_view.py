"""Incidents as decisions and records tell them, held against the state that the fold keeps."""

from __future__ import annotations

import msgspec
import pytest

from homeostat.incident_view import Incident, incidents
from streams.codec import decode_control
from streams.events import AcceptChange, Control, ReleaseQuarantine
from tests.core.control_log import EVENT_T0, ControlLog
from tests.core.test_incidents import RULE, called, started


def view_of(log: ControlLog, *, forgotten: bool = False) -> dict[str, Incident]:
    pairs = [(one, None if forgotten else decode_control(log.messages[one.offset].value)) for one in log.decisions]
    return {one.rule.incident: one for one in incidents(pairs, log.routes[-1].quarantine)}


def test_an_open_incident_is_open() -> None:
    log = started()
    log.tell(called())
    (one,) = view_of(log).values()
    assert (one.rule, one.until, one.closed) == (RULE, None, None)
    assert one.opened is not None
    assert one.opened.numbers == {"factor": 1_000.0}


def test_closed_by_the_triage_it_ends_where_the_feed_is_well() -> None:
    log = started()
    log.tell(called())
    log.tell(called(closed=True))
    (one,) = view_of(log).values()
    assert one.until == EVENT_T0
    assert one.closed is not None


@pytest.mark.parametrize(
    "ending",
    [
        ReleaseQuarantine(id="r", at=EVENT_T0, model="m", actor="ada", reason="mended", incident="bug-1"),
        AcceptChange(id="a", at=EVENT_T0, model="m", actor="ada", reason="new unit", feature="price"),
    ],
)
def test_a_person_ends_what_they_name_and_nothing_else(ending: Control) -> None:
    log = started()
    log.tell(called())
    log.tell(called(msgspec.structs.replace(RULE, incident="bug-2", feature="demand")))
    log.tell(ending)
    view = view_of(log)
    assert view["bug-1"].until is not None
    assert view["bug-2"].until is None
    assert [rule.incident for rule in log.routes[-1].quarantine] == ["bug-2"]


def test_an_accepted_change_ends_what_is_open_of_the_feature_and_leaves_what_was_closed() -> None:
    log = started()
    log.tell(called())
    log.tell(called(closed=True))
    for name in ("bug-10", "bug-11"):
        log.tell(called(msgspec.structs.replace(RULE, incident=name)))
    before = view_of(log)["bug-1"].closed
    log.tell(AcceptChange(id="a", at=EVENT_T0, model="m", actor="ada", reason="new unit", feature="price"))
    view = view_of(log)
    assert view["bug-1"].closed == before
    ended = [view[name].closed for name in ("bug-10", "bug-11")]
    assert [one.incident for one in ended if one is not None] == ["bug-10", "bug-11"]


def test_a_refused_call_is_no_incident() -> None:
    log = started()
    log.tell(called(release="of another model"))
    assert view_of(log) == {}


def test_another_record_at_the_place_of_the_cause_is_not_taken_for_it() -> None:
    """A log made anew has the same places."""
    log = started()
    log.tell(called())
    opened = log.decisions[-1]
    other = called(msgspec.structs.replace(RULE, incident="bug-2"))
    assert incidents([(opened, msgspec.structs.replace(other, id="of the next log"))]) == ()
    assert [one.rule for one in incidents([(opened, decode_control(log.messages[opened.offset].value))])] == [RULE]


def test_what_the_route_holds_back_is_open_though_its_record_is_gone() -> None:
    log = started()
    log.tell(called())
    (one,) = view_of(log, forgotten=True).values()
    assert (one.rule, one.until, one.opened) == (RULE, None, None)
