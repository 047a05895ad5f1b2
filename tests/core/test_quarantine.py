"""Which rows are spoilt, what serving flags, and what a flag leads to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.body import Limits
from serving.quarantine import Quarantine, UnusableFallback, fallback_value
from serving.request import RowSchema
from streams.contract import Contract, FeatureContract, TargetContract, bin_of
from streams.events import QuarantineRule, Scalar
from streams.quarantine import covers, matches
from trainer.example import Example
from trainer.left_out import LeavingOut, fault

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
SINCE = NOW - timedelta(hours=1)
PRICE = FeatureContract(name="price", kind="number", low=0.0, high=10.0)
ZONE = FeatureContract(name="zone", kind="category", required=True)
OPEN = FeatureContract(name="open", kind="boolean")
CLASSES = TargetContract(name="up", task="classification", classes=("no", "yes"))
CONTRACT = Contract(model="m", features=(PRICE, ZONE, OPEN), target=CLASSES)
SCHEMA = RowSchema(CONTRACT)
GOOD: dict[str, Scalar] = {"price": 5.0, "zone": "north", "open": True}


def rule(kind: str = "unit", feature: str = "price", **changes: Any) -> QuarantineRule:
    """An open rule: prices are to lie in [1, 8], and so on."""
    values = {"unit": {"low": 1.0, "high": 8.0}, "stuck": {"bin": bin_of(PRICE, 5.0)}, "missing": {}}[kind]
    return QuarantineRule(**{"incident": "i", "feature": feature, "kind": kind, "since": SINCE, **values, **changes})  # type: ignore[arg-type]


def flags(*rows: dict[str, Scalar], rules: tuple[QuarantineRule, ...] = (), accepted: tuple[str, ...] = (), **body: Any) -> Any:
    """What serving flags under a route with these."""
    asked = SCHEMA.under(rules, accepted).parse(json.dumps({"rows": list(rows), **body}).encode(), NOW, Limits())
    return list(asked.flags)


@pytest.mark.parametrize(
    ("kind", "value", "spoilt"),
    [
        ("unit", 8.0, False),
        ("unit", 8.1, True),
        ("unit", 0.9, True),
        ("unit", 1, False),
        ("unit", None, False),
        ("unit", "9", False),
        ("unit", True, False),
        ("stuck", 5.0, True),
        ("stuck", 7.0, False),
        ("stuck", None, False),
        ("stuck", "5", False),
        ("stuck", 1e308, False),
        ("missing", None, True),
        ("missing", 0.0, False),
        ("missing", "", False),
    ],
)
def test_which_values_a_rule_calls_spoilt(kind: str, value: Scalar, spoilt: bool) -> None:
    assert matches(rule(kind), PRICE, value) is spoilt


def test_a_unit_rule_may_have_one_end() -> None:
    assert [matches(rule(low=None), PRICE, value) for value in (-1e9, 9.0)] == [False, True]
    assert [matches(rule(high=None), PRICE, value) for value in (0.0, 1e9)] == [True, False]


def test_a_category_and_a_boolean_may_be_stuck_too() -> None:
    stuck = rule("stuck", "zone", bin=bin_of(ZONE, "north"))
    assert [matches(stuck, ZONE, value) for value in ("north", "south")] == [True, False]
    # The lake keeps booleans as numbers.
    assert [matches(rule("stuck", "open", bin=1), OPEN, value) for value in (True, 1.0, False, 0.0)] == [True, True, False, False]


def test_a_value_beyond_the_grid_is_in_no_bin() -> None:
    tiny = FeatureContract(name="price", kind="number", scale=1e-9)
    assert not matches(rule("stuck"), tiny, 1e308)


@pytest.mark.parametrize(
    ("minutes", "until", "inside"), [(-1, None, False), (0, None, True), (99, None, True), (5, 5, True), (6, 5, False)]
)
def test_a_rule_speaks_of_event_times_from_since_to_until(minutes: int, until: int | None, inside: bool) -> None:
    ended = None if until is None else SINCE + timedelta(minutes=until)
    assert covers(rule(until=ended), SINCE + timedelta(minutes=minutes)) is inside


@pytest.mark.parametrize(
    ("row", "rules", "accepted", "told"),
    [
        ({}, (), (), ()),
        ({"price": 9.0}, (), (), ()),
        ({"price": 9.0}, (rule(),), (), ("price:unit",)),
        ({"price": 9}, (rule(),), (), ("price:unit",)),
        ({"price": 7.0}, (rule(),), (), ()),
        ({"price": 11.0}, (rule(),), (), ("price:range", "price:unit")),
        ({"price": 9.0}, (rule(until=NOW),), (), ()),
        ({"price": 9.0}, (rule(since=NOW + timedelta(minutes=1)),), (), ()),
        ({"price": 9.0}, (rule(feature="gone"),), (), ()),
        ({"price": None}, (rule("missing"),), (), ("price:missing",)),
        ({"zone": None}, (rule("missing", "zone"),), (), ("zone:missing",)),
        ({"price": 5.0}, (rule("stuck"), rule(high=4.0), rule(high=3.0, incident="j")), (), ("price:stuck", "price:unit")),
        ({"price": 11.0}, (), ("price",), ()),
        ({"price": 11.0}, (rule(),), ("price",), ("price:unit",)),
        ({"price": 1e39}, (), ("price",), ("price:range",)),
        ({"price": 11.0, "zone": None}, (), ("price",), ("zone:missing",)),
    ],
)
def test_what_is_flagged_under_a_route(
    row: dict[str, Scalar], rules: tuple[QuarantineRule, ...], accepted: tuple[str, ...], told: tuple[str, ...]
) -> None:
    """Violations, unless accepted, then open rules, each flag once; 1e39 is more than any model sees, accepted or not."""
    assert flags(GOOD | row, rules=rules, accepted=accepted) == [told]


def test_an_absent_feature_is_missing_and_neighbours_are_untouched() -> None:
    assert flags(GOOD, {"zone": "north"}, GOOD, rules=(rule("missing"),)) == [(), ("price:missing",), ()]


def test_a_row_from_before_the_bug_is_not_flagged() -> None:
    times = [(SINCE - timedelta(minutes=1)).isoformat(), SINCE.isoformat()]
    assert flags(GOOD | {"price": 9.0}, GOOD | {"price": 9.0}, rules=(rule(),), at=times) == [(), ("price:unit",)]


def test_a_route_without_rules_has_the_schema_of_its_release() -> None:
    """Nothing new is done per row, or kept per route."""
    assert SCHEMA.under((), ()) is SCHEMA


@given(st.sampled_from(["unit", "stuck", "missing"]), st.none() | st.floats(0.0, 10.0), st.integers(-90, 0))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_serving_flags_what_a_dataset_leaves_out(kind: str, price: float | None, minutes: int) -> None:
    """One rule, one meaning: what was served before the rule was known is left out as what came after it is flagged."""
    row, at = GOOD | {"price": price}, NOW + timedelta(minutes=minutes)
    [told] = flags(row, rules=(rule(kind),), at=[at.isoformat()])
    example = Example(epoch=1, seq=1, at=at, features=row, label="no")
    assert fault(CONTRACT, example, LeavingOut(quarantine=(rule(kind),))) == "".join(told)


def test_a_flag_means_quarantine_unless_the_policy_wants_none() -> None:
    assert [Quarantine(enabled=on).holds(told) for on in (True, False) for told in ((), ("price:range",))] == [
        False,
        True,
        False,
        False,
    ]


def test_only_spoilt_rows_get_the_fallback_and_say_so() -> None:
    told = [(), ("price:unit",)]
    assert Quarantine(fallback=1.0).told(told) == [(), ("price:unit", "fallback")]
    assert [Quarantine(fallback=1.0).replaces(row) for row in told] == [False, True]
    for without in (Quarantine(), Quarantine(enabled=False, fallback=1.0)):
        assert list(without.told(told)) == told
        assert not any(without.replaces(row) for row in told)


def test_a_fallback_is_a_class_or_a_finite_number() -> None:
    number = TargetContract(name="y", task="regression")
    assert [fallback_value(CLASSES, word) for word in ("", "no", "yes")] == [None, 0.0, 1.0]
    assert [fallback_value(number, word) for word in ("", "-2.5")] == [None, -2.5]
    for target, word in ((CLASSES, "perhaps"), (CLASSES, "1"), (number, "much"), (number, "nan"), (number, "inf")):
        with pytest.raises(UnusableFallback, match=word):
            fallback_value(target, word)
