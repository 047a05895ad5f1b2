"""Rules of quarantine come and go with revisions of a route; whoever answers under it is left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.adapters.model_cache import ROUTES_FILE
from serving.body import Limits
from serving.circuit import Circuit
from serving.quarantine import Quarantine
from serving.served_policy import ServedPolicy
from streams.events import QuarantineRule
from streams.policy import QuarantinePolicy
from tests.integration.installer_place import MODEL, Place
from tests.integration.small_release import put_release, row

MISSING = "e" * 64


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def unit_rule(feature: str = "nswprice") -> QuarantineRule:
    return QuarantineRule(incident="i", feature=feature, kind="unit", since=datetime(2024, 1, 1, tzinfo=UTC), low=0.0, high=1.0)


def flags(place: Place, **changes: float) -> list[tuple[str, ...]]:
    """What the route in force flags on a good row with changes."""
    asked = place.in_force().schema.parse(json.dumps({"rows": [row(1) | changes]}).encode(), datetime.now(UTC), Limits())
    return list(asked.flags)


def test_a_new_revision_brings_its_rules_and_leaves_arms_lanes_and_circuits_alone(place: Place) -> None:
    release, candidate = put_release(place.store, MODEL), put_release(place.store, MODEL, seed=1)
    place.install(2, release, candidate=candidate, control=MISSING)
    side = place.in_force().side_arms[0]
    side.circuit = side.circuit.after("late").after("late")
    place.install(2, release, candidate=candidate, control=MISSING, revision=1, quarantine=(unit_rule(),), accepted=("transfer",))
    live = place.in_force()
    assert live.route.revision == 1
    assert live.side_arms[0] is side
    assert (side.circuit.failures, side.lane is not None) == (2, True)
    assert [arm.lane for arm in live.side_arms[1:]] == [None], "what could not be loaded is tried again"
    assert flags(place, nswprice=9.0) == [("nswprice:unit",)]
    assert flags(place, transfer=99.0) == [()]


def test_a_new_generation_starts_with_closed_circuits_and_the_rules_it_brings(place: Place) -> None:
    release, candidate = put_release(place.store, MODEL), put_release(place.store, MODEL, seed=1)
    place.install(2, release, candidate=candidate, quarantine=(unit_rule(),))
    place.in_force().side_arms[0].circuit = Circuit(failures=9)
    lane = place.in_force().side_arms[0].lane
    place.install(3, release, candidate=candidate)
    assert (place.in_force().side_arms[0].circuit, place.in_force().side_arms[0].lane) == (Circuit(), lane)
    assert flags(place, nswprice=9.0) == [()]


def test_an_older_revision_and_one_of_an_older_generation_are_refused(place: Place) -> None:
    release = put_release(place.store, MODEL)
    for generation, revision in ((4, 2), (4, 1), (3, 9), (4, 2)):
        place.install(generation, release, revision=revision, quarantine=(unit_rule(),) if revision == 2 else ())
    assert (place.in_force().route.generation, place.in_force().route.revision) == (4, 2)
    assert flags(place, nswprice=9.0) == [("nswprice:unit",)]


def test_the_rules_of_a_route_are_there_after_a_restart_without_log(place: Place) -> None:
    place.installer.set_policy(MODEL, ServedPolicy(quarantine=QuarantinePolicy(fallback="1")))
    place.install(1, put_release(place.store, MODEL), revision=3, quarantine=(unit_rule(),), accepted=("transfer",))
    again = place.restarted()
    assert (flags(again, nswprice=9.0), flags(again, transfer=99.0)) == ([("nswprice:unit",)], [()])
    assert again.in_force().quarantine == Quarantine(enabled=True, fallback=1.0)


def test_a_policy_without_quarantine_is_in_force_at_once_and_after_a_restart(place: Place) -> None:
    place.installer.set_policy(MODEL, ServedPolicy())
    place.install(1, put_release(place.store, MODEL))
    assert place.in_force().quarantine == Quarantine()
    place.installer.set_policy(MODEL, ServedPolicy(quarantine=QuarantinePolicy(enabled=False, fallback="1")))
    for each in (place, place.restarted()):
        assert not each.in_force().quarantine.holds(("nswprice:unit",))
        assert each.in_force().route.generation == 1


def test_a_route_file_that_knows_nothing_of_quarantine_is_read(place: Place) -> None:
    """As the version before wrote it: what is hidden stays hidden, and spoilt rows are held back until the policy is heard."""
    place.installer.set_policy(MODEL, ServedPolicy(log={"nswprice": "drop"}))
    place.install(5, put_release(place.store, MODEL))
    path = place.directory / "cache" / ROUTES_FILE
    known = json.loads(path.read_text())
    del known["quarantine"]
    for route in known["routes"]:
        for name in ("revision", "quarantine", "accepted"):
            del route[name]
    path.write_text(json.dumps(known))
    live = place.restarted().in_force()
    assert (live.route.generation, live.route.revision, live.privacy) == (5, 0, {"nswprice": "drop"})
    assert live.quarantine == Quarantine(enabled=True, fallback=None)


def test_a_fallback_that_is_no_class_is_said_once_and_the_model_answers(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    release = put_release(place.store, MODEL)
    place.installer.set_policy(MODEL, ServedPolicy(quarantine=QuarantinePolicy(fallback="perhaps")))
    for generation in (1, 2, 3):
        place.install(generation, release)
    assert place.in_force().quarantine == Quarantine(enabled=True, fallback=None)
    assert [record.getMessage() for record in caplog.records] == [
        "spoilt rows of m are answered by the model: quarantine.fallback 'perhaps' is none of the classes 0, 1."
    ]
