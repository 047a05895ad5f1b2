"""What is known of data bugs beside the controller: the same words mean the same."""

from __future__ import annotations

import pytest

from homeostat.incident_book import NONE, WORDS_KEPT, IncidentBook, Incidents, told
from homeostat.model_state import INCIDENTS_LIMIT
from streams.adapters.memory import MemoryLog, MemoryReader, MemoryWriter
from streams.events import (
    AcceptChange,
    LossesGathered,
    ModelRegistered,
    QualityIncident,
    QuarantineRule,
    ReleaseQuarantine,
)
from streams.policy import Policy
from streams.ports import LogUnavailable, Outgoing
from streams.topics import CONTROL
from tests.core.challenger_lake import said
from tests.core.trainer_rows import minute


def called(number: int, feature: str = "x", *, closed: bool = False) -> QualityIncident:
    """Incident i<number> since that minute; closed ten minutes later."""
    rule = QuarantineRule(
        incident=f"i{number}",
        feature=feature,
        kind="missing",
        since=minute(number),
        until=minute(number + 10) if closed else None,
    )
    return QualityIncident(
        id=f"{number}-{closed}",
        at=minute(number + 20),
        model="m",
        actor="agents",
        reason="",
        release="r",
        rule=rule,
        closed=closed,
    )


def release(number: int) -> ReleaseQuarantine:
    """A person ends that incident."""
    return ReleaseQuarantine(id=f"release {number}", at=minute(500), model="m", actor="p", reason="", incident=f"i{number}")


def after(*records: QualityIncident | LossesGathered | AcceptChange | ReleaseQuarantine) -> Incidents:
    """What is known then."""
    known = NONE
    for record in records:
        known = told(known, record)
    return known


def ends(known: Incidents) -> dict[str, object]:
    """By incident, where it ends."""
    return {rule.incident: rule.until for rule in known.rules}


def test_an_incident_opens_once_and_closes_where_it_is_said() -> None:
    """Told twice it is one; closed it stays known, for the rows of its time."""
    assert ends(after(called(1), called(1))) == {"i1": None}
    assert ends(after(called(1), called(1, closed=True), called(1, closed=True))) == {"i1": minute(11)}
    assert ends(after(called(2, closed=True))) == {}


def test_a_feature_called_anew_ends_its_older_incident() -> None:
    """As the controller does; another feature's goes on."""
    assert ends(after(called(1), called(5), called(3, "y"))) == {"i1": minute(5), "i5": None, "i3": None}


def test_people_end_incidents() -> None:
    """Released: up to where losses were gathered, and not called again; accepted: gone with the feature's range."""
    losses = LossesGathered(
        id="l", at=minute(90), model="m", actor="agents", reason="", release="r", period=1, n=1, made=1, loss=0, loss_squared=0
    )
    known = after(called(1), losses, release(1), called(1))
    assert (known.rules, [(rule.incident, rule.until) for rule in known.released]) == ((), [("i1", minute(90))])
    accept = AcceptChange(id="a", at=minute(5), model="m", actor="p", reason="", feature="x")
    assert after(called(1), called(2, "y"), accept) == Incidents(rules=(called(2, "y").rule,), accepted=("x",))


def test_no_more_are_remembered_than_the_controller_does() -> None:
    """The oldest closed ones go first."""
    many = [
        record for number in range(40) for record in (called(number, f"f{number}"), called(number, f"f{number}", closed=True))
    ]
    assert len(after(*many).rules) == INCIDENTS_LIMIT
    assert after(*many).rules[-1].incident == "i39"


def test_control_is_read_to_its_end_and_anew_after_a_failure() -> None:
    """Words of nobody's model count for nobody; a broker that is away is said."""
    log, reading = MemoryLog(), 0.0

    registered = ModelRegistered(
        id="r", at=minute(0), model="m", actor="p", reason="", release="r", contract="c", policy=Policy()
    )
    book = IncidentBook(MemoryReader(log))
    said(log, registered)
    said(log, called(1), decided="IncidentOpened")
    said(log, called(2), key="n", decided="IncidentOpened")
    MemoryWriter(log).write([Outgoing(topic=CONTROL, key=b"m", value=b"QualityIncident {")], 1.0)
    book.look(reading)
    assert ends(book.of("m")) == {"i1": None}
    assert book.of("n") == NONE
    log.go_away()
    with pytest.raises(LogUnavailable):
        book.look(0.0)
    log.come_back()
    said(log, release(1))
    book.look(3_600.0)
    assert book.of("m").rules == ()


def test_what_the_controller_refused_or_has_not_decided_is_not_in_the_book() -> None:
    """An unknown release, a beginning in the future, a second closing: refused; a decision that comes late counts in its place."""
    log = MemoryLog()
    book = IncidentBook(MemoryReader(log))

    def rules() -> dict[str, object]:
        book.look(0.0)
        return ends(book.of("m"))

    said(log, called(1), decided="Refused")
    said(log, called(2))
    assert rules() == {}
    said(log, called(3), decided="IncidentOpened")
    assert rules() == {"i3": None}
    said(log, called(2), decided="IncidentOpened")
    assert rules() == {"i3": minute(3), "i2": None}
    said(log, called(2, closed=True), decided="Refused")
    assert rules()["i2"] is None
    said(log, called(2, closed=True), decided="IncidentClosed")
    assert rules()["i2"] == minute(12)


def test_words_that_no_decision_can_confirm_any_more_are_forgotten() -> None:
    """The page is bounded; what was confirmed stands."""
    log = MemoryLog()
    book = IncidentBook(MemoryReader(log))
    said(log, called(1), decided="IncidentOpened")
    for number in range(WORDS_KEPT + 5):
        said(log, called(1_000 + number, "y"), decided="Refused" if number == 0 else "")
    book.look(0.0)
    assert ends(book.of("m")) == {"i1": None}
    assert len(book._pages["m"]._words) == WORDS_KEPT
