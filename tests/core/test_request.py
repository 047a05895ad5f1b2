"""Bodies of predict and label requests: what is taken, what is flagged, and which field a refusal names."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serving.body import BadRequest, Limits
from serving.labels import LabelAsked, judge, parse_labels
from serving.request import RowSchema
from streams.contract import Contract, FeatureContract, TargetContract
from streams.prediction_id import Sealed

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
LIMITS = Limits(rows=5, text_characters=20)
CONTRACT = Contract(
    model="m",
    features=(
        FeatureContract(name="nswprice", kind="number", low=0.0, high=1.0, required=True),
        FeatureContract(name="demand", kind="number"),
        FeatureContract(name="state", kind="category"),
        FeatureContract(name="holiday", kind="boolean"),
    ),
    target=TargetContract(name="up", task="classification", classes=("0", "1")),
)
SCHEMA = RowSchema(CONTRACT)
ROW = {"nswprice": 0.5, "demand": 3, "state": "NSW", "holiday": True}


def refused(body: str | bytes) -> BadRequest:
    """The refusal of a predict body."""
    with pytest.raises(BadRequest) as caught:
        SCHEMA.parse(body if isinstance(body, bytes) else body.encode(), NOW, LIMITS)
    return caught.value


def one_row(**changes: object) -> str:
    """A body whose second row differs from a good one."""
    return json.dumps({"rows": [ROW, ROW | changes]})


def test_good_rows_are_taken_as_they_are_and_integers_become_numbers() -> None:
    asked = SCHEMA.parse(json.dumps({"rows": [ROW]}).encode(), NOW, LIMITS)
    assert asked.rows == (ROW,)
    assert type(asked.rows[0]["demand"]) is float
    assert (asked.flags, asked.at, asked.entities) == (((),), (NOW,), ("",))


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (one_row(nswprice="high"), 422, "wrong_type", "rows[1].nswprice"),
        (one_row(nswprice=True), 422, "wrong_type", "rows[1].nswprice"),
        (one_row(nswprice=[1]), 422, "wrong_type", "rows[1].nswprice"),
        (one_row(nswprice={"a": 1}), 422, "wrong_type", "rows[1].nswprice"),
        (one_row(state=3), 422, "wrong_type", "rows[1].state"),
        (one_row(state="x" * 21), 422, "too_long", "rows[1].state"),
        (one_row(holiday=2), 422, "wrong_type", "rows[1].holiday"),
        (one_row(holiday="yes"), 422, "wrong_type", "rows[1].holiday"),
        (one_row(nswprice=float("nan")), 422, "not_finite", "rows[1].nswprice"),
        (one_row(demand=float("inf")), 422, "not_finite", "rows[1].demand"),
        ('{"rows": [{"nswprice": 1e999}]}', 422, "not_finite", "rows[0].nswprice"),
        ('{"rows": [{"demand": 1' + "0" * 400 + "}]}", 422, "not_finite", "rows[0].demand"),
        (one_row(nswprize=0.5), 422, "unknown_feature", "rows[1].nswprize"),
        ('{"rows": [7]}', 422, "wrong_type", "rows[0]"),
        ('{"rows": {}}', 422, "wrong_type", "rows"),
        ('{"rows": []}', 422, "empty", "rows"),
        ("{}", 422, "missing", "rows"),
        ('{"rows": [{}], "row": 1}', 422, "unknown_field", "row"),
        (json.dumps({"rows": [ROW] * 6}), 413, "too_many_rows", "rows"),
        ("[]", 422, "wrong_type", ""),
        ('{"rows": [', 400, "malformed_json", ""),
        ("", 400, "malformed_json", ""),
        ('{"rows": [{"state": "\\ud800"}]}', 400, "malformed_json", ""),
        ("[" * 100_000, 400, "too_deep", ""),
        (json.dumps({"rows": [ROW], "at": ["yesterday"]}), 422, "bad_time", "at[0]"),
        (json.dumps({"rows": [ROW], "at": ["2024-06-01T12:00:00"]}), 422, "bad_time", "at[0]"),
        (json.dumps({"rows": [ROW], "at": ["0001-01-01T00:00:00+14:00"]}), 422, "bad_time", "at[0]"),
        (json.dumps({"rows": [ROW], "at": ["1815-06-18T12:00:00Z"]}), 422, "bad_time", "at[0]"),
        (json.dumps({"rows": [ROW], "at": ["2024-06-01T12:06:00Z"]}), 422, "future_time", "at[0]"),
        (json.dumps({"rows": [ROW], "at": [5]}), 422, "wrong_type", "at[0]"),
        (json.dumps({"rows": [ROW, ROW], "at": [None]}), 422, "wrong_length", "at"),
        (json.dumps({"rows": [ROW], "entity": [5]}), 422, "wrong_type", "entity[0]"),
        (json.dumps({"rows": [ROW], "entity": [""]}), 422, "wrong_type", "entity[0]"),
        (json.dumps({"rows": [ROW], "entity": ["a", "b"]}), 422, "wrong_length", "entity"),
    ],
)
def test_a_bad_body_is_refused_by_the_name_of_its_field(body: str, status: int, code: str, field: str) -> None:
    error = refused(body)
    assert (error.status, error.code, error.field) == (status, code, field)
    assert field in error.message


def test_bytes_that_are_no_text_are_refused() -> None:
    assert refused(b"\xff\xfe{}").code == "malformed_json"


def test_an_unknown_feature_hears_which_there_are() -> None:
    assert "nswprice, demand, state, holiday" in refused(one_row(nswprize=0.5)).message


def test_a_client_s_own_long_text_is_shortened_in_the_answer() -> None:
    assert len(refused(one_row(**{"y" * 5_000: 1})).message) < 300


@pytest.mark.parametrize(
    ("row", "flags"),
    [
        (ROW, ()),
        (ROW | {"nswprice": 1.5}, ("nswprice:range",)),
        (ROW | {"nswprice": -1}, ("nswprice:range",)),
        (ROW | {"demand": 1e300}, ("demand:range",)),
        (ROW | {"nswprice": None}, ("nswprice:missing",)),
        ({"demand": 1.0}, ("nswprice:missing",)),
        ({"nswprice": 2.0, "demand": None}, ("nswprice:range",)),
        ({}, ("nswprice:missing",)),
        (ROW | {"holiday": 1}, ()),
    ],
)
def test_what_breaks_the_contract_but_can_be_answered_is_flagged(row: dict[str, object], flags: tuple[str, ...]) -> None:
    assert SCHEMA.parse(json.dumps({"rows": [row]}).encode(), NOW, LIMITS).flags == (flags,)


def test_times_may_lie_in_the_past_and_come_back_in_utc() -> None:
    body = {"rows": [ROW] * 3, "at": ["1996-05-07T02:00:00+02:00", None, "2024-06-01T12:04:59Z"]}
    asked = SCHEMA.parse(json.dumps(body).encode(), NOW, LIMITS)
    assert asked.at == (datetime(1996, 5, 7, tzinfo=UTC), NOW, datetime(2024, 6, 1, 12, 4, 59, tzinfo=UTC))


def test_rows_without_an_entity_may_stand_beside_rows_with_one() -> None:
    assert SCHEMA.parse(json.dumps({"rows": [ROW, ROW], "entity": ["a", None]}).encode(), NOW, LIMITS).entities == ("a", "")


@pytest.mark.parametrize(
    ("labels", "code", "field"),
    [
        ([{"id": "x", "label": 1}, {"id": 5, "label": 1}], "wrong_type", "labels[1].id"),
        ([{"label": 1}], "wrong_type", "labels[0].id"),
        ([{"id": "x"}], "wrong_type", "labels[0].label"),
        ([{"id": "x", "label": None}], "wrong_type", "labels[0].label"),
        ([{"id": "x", "label": [1]}], "wrong_type", "labels[0].label"),
        ([{"id": "x", "label": float("nan")}], "not_finite", "labels[0].label"),
        ([{"id": "x", "label": 10**400}], "not_finite", "labels[0].label"),
        ([{"id": "x", "label": "y" * 21}], "too_long", "labels[0].label"),
        ([{"id": "x", "label": 1, "at": "2024-06-02T00:00:00Z"}], "future_time", "labels[0].at"),
        ([{"id": "x", "label": 1, "when": 1}], "unknown_field", "labels[0].when"),
        ([7], "wrong_type", "labels[0]"),
        ([], "empty", "labels"),
        ("x", "wrong_type", "labels"),
    ],
)
def test_a_bad_label_is_refused_by_the_name_of_its_field(labels: object, code: str, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_labels(json.dumps({"labels": labels}).encode(), NOW, LIMITS)
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize(
    ("changes", "label", "reason"),
    [
        ({}, 1, None),
        ({}, "0", None),
        ({"model": "gone"}, 1, "unknown_model"),
        ({"issued": NOW - timedelta(days=31)}, 1, "expired"),
        ({"issued": NOW - timedelta(days=29)}, 1, None),
        ({"at": NOW - timedelta(days=9_999)}, 1, None),
        ({}, 7, "bad_label"),
        ({}, "maybe", "bad_label"),
        ({"contract": "e" * 64}, "maybe", None),
    ],
)
def test_a_label_is_judged_by_what_its_prediction_id_holds(changes: dict[str, object], label: Any, reason: str | None) -> None:
    """Expiry counts from the issue of the id, not from event time; a contract not held here is the monitor's to judge."""
    values: dict[str, Any] = {
        "epoch": 1,
        "seq": 2,
        "model": "m",
        "release": "a" * 64,
        "generation": 1,
        "step": 0,
        "arm": "champion",
        "at": NOW,
        "issued": NOW,
        "contract": "b" * 64,
        "champion": "a" * 64,
        "outputs": (),
    }
    refusal = judge(
        LabelAsked(index=4, id="x", label=label, at=NOW),
        Sealed(**(values | changes)),
        models={"m"},
        contracts={"b" * 64: CONTRACT},
        now=NOW,
        horizon=timedelta(days=30),
    )
    assert (refusal and refusal.reason) == reason
    if refusal is not None:
        assert refusal.field == ("labels[4].label" if reason == "bad_label" else "labels[4].id")
