"""Which rows a run does not learn from when data were spoilt, and which it learns from again."""

from __future__ import annotations

from typing import Any

import pytest

from streams.contract import bin_of
from streams.events import QuarantineRule
from streams.policy import TrainingPolicy
from tests.core.trainer_rows import CONTRACT, label, logged, minute, prediction
from trainer.dataset import Dataset, LoggedPrediction, assemble, manifest
from trainer.left_out import LeavingOut

POLICY = TrainingPolicy(window_rows=6, holdout_rows=2)
FLAG = ("x:unit",)


def rule(since: float, until: float | None = None, **changes: Any) -> QuarantineRule:
    """x is to lie in [-1, 1], from that minute on."""
    ended = None if until is None else minute(until)
    values = {"incident": "i-1", "feature": "x", "kind": "unit", "low": -1.0, "high": 1.0, "since": minute(since), "until": ended}
    return QuarantineRule(**(values | changes))  # type: ignore[arg-type]


def good(number: int, **changes: Any) -> LoggedPrediction:
    """A row that no rule here means, unless changed."""
    return prediction(number, **({"features": {"x": 0.5, "colour": "red"}} | changes))


def spoilt(number: int, **changes: Any) -> LoggedPrediction:
    """One whose x is outside the rule, and inside the contract."""
    return good(number, **({"features": {"x": 5.0, "colour": "red"}} | changes))


def built(*rows: LoggedPrediction, **leaving: Any) -> Dataset:
    """The dataset of these rows, all of them labelled."""
    source = logged(rows, [label(row.seq, value=1) for row in rows])
    return assemble(
        contract=CONTRACT, rows=source, registration=None, policy=POLICY, as_of=minute(1_000), leaving=LeavingOut(**leaving)
    )


def kept(dataset: Dataset) -> list[int]:
    """The minutes of the rows that are in it."""
    return [round((at - minute(0)).total_seconds() / 60) for at in dataset.table.at if at is not None]


def test_what_was_served_in_quarantine_is_left_out_and_older_good_rows_take_its_place() -> None:
    rows = [good(n) for n in range(8)] + [spoilt(n, flags=FLAG) for n in (8, 9)]
    dataset = built(*rows)
    assert kept(dataset) == [2, 3, 4, 5, 6, 7]
    assert dataset.left_out == {"x:unit": 2}
    assert kept(built(*(good(n) for n in range(10)))) == [4, 5, 6, 7, 8, 9], "the control"


def test_what_a_rule_says_since_holds_for_rows_from_before_it_was_known() -> None:
    """Between since and until, both included; good rows of that time stay."""
    rows = [spoilt(0), spoilt(1), good(2), spoilt(3), spoilt(4)]
    dataset = built(*rows, quarantine=[rule(1, until=3)])
    assert kept(dataset) == [0, 2, 4]
    assert dataset.left_out == {"x:unit": 2}
    assert kept(built(*rows, quarantine=[rule(1)])) == [0, 2]


@pytest.mark.parametrize(
    ("changes", "features"),
    [
        ({"kind": "stuck", "bin": bin_of(CONTRACT.features[0], 5.0)}, {"x": 5.0, "colour": "red"}),
        ({"kind": "missing"}, {"colour": "red"}),
        ({"kind": "stuck", "feature": "colour", "bin": bin_of(CONTRACT.features[1], "grey")}, {"x": 0.5, "colour": "grey"}),
    ],
)
def test_each_kind_of_rule_has_its_reason(changes: dict[str, Any], features: dict[str, Any]) -> None:
    dataset = built(good(1), good(2, features=features), quarantine=[rule(0, **changes)])
    assert kept(dataset) == [1]
    assert dataset.left_out == {f"{changes.get('feature', 'x')}:{changes['kind']}": 1}


def test_a_rule_of_a_feature_that_the_contract_has_not_means_nothing() -> None:
    assert kept(built(spoilt(1), quarantine=[rule(0, feature="gone", kind="missing")])) == [1]


def test_once_a_change_is_accepted_its_rows_are_learnt_from() -> None:
    """Those out of range, and those that were in quarantine for it alone; types stay a fault, and so does a rule made since."""
    rows = [
        good(0),
        spoilt(1, flags=FLAG),
        good(2, features={"x": 50.0, "colour": "red"}, flags=("x:range", "x:unit", "fallback")),
        spoilt(3),
        good(4, features={"x": "5", "colour": "red"}, flags=("x:type",)),
        spoilt(5, flags=("x:unit", "colour:missing")),
    ]
    dataset = built(*rows, accepted=["x"])
    assert kept(dataset) == [0, 1, 2, 3]
    assert dataset.left_out == {"colour:missing": 1, "x:type": 1}
    assert kept(built(*rows, quarantine=[rule(0)], accepted=["x"])) == [0], "called again, under a later champion"
    assert kept(built(*rows, quarantine=[rule(0)], accepted=["colour"])) == [0], "the control"


def test_once_an_incident_is_released_its_flags_count_no_more() -> None:
    """Those of its feature and kind, of its time; one that the triage opens anew holds."""
    rows = [spoilt(1, flags=FLAG), spoilt(2, flags=("x:stuck",)), spoilt(3, flags=FLAG), spoilt(9, flags=FLAG)]
    assert kept(built(*rows, released=[rule(0, until=5)])) == [1, 3]
    assert kept(built(*rows, released=[rule(0, until=5)], quarantine=[rule(3, incident="i-2")])) == [1]
    assert kept(built(*rows)) == [], "the control"


def test_a_row_in_quarantine_for_no_known_reason_is_left_out() -> None:
    """A foreign system may write it so; no accepted feature explains it."""
    assert built(good(1, quarantined=True), accepted=["x"]).left_out == {"quarantined": 1}


def test_a_row_that_was_flagged_but_not_held_back_is_learnt_from() -> None:
    """The policy wanted no quarantine then: its flags say nothing that its values do not."""
    assert kept(built(spoilt(1, flags=FLAG, quarantined=False))) == [1]


def test_a_policy_without_quarantine_learns_from_all_but_wrong_types() -> None:
    """Out of range, in quarantine before it was switched off, or met by a rule: a row like any other."""
    rows = [
        good(0, features={"x": 50.0, "colour": "red"}),
        spoilt(1, flags=FLAG),
        spoilt(2),
        good(3, features={"x": "5", "colour": "red"}),
    ]
    dataset = built(*rows, quarantine=[rule(0)], quarantining=False)
    assert kept(dataset) == [0, 1, 2]
    assert dataset.left_out == {"x:type": 1}
    assert kept(built(*rows, quarantine=[rule(0)])) == [], "the control"


@pytest.mark.parametrize(
    ("leaving", "said"),
    [
        ({}, ["not logged in quarantine, but for accepted features and released incidents"]),
        (
            {"quarantine": [rule(0), rule(5, incident="i-0")], "accepted": ["colour"]},
            ["range of accepted features lifted: colour", "meets no rule of i-0, i-1"],
        ),
        ({"quarantining": False}, ["ranges are not looked at", "quarantine is off"]),
    ],
)
def test_the_manifest_says_what_was_held_against_rows(leaving: dict[str, Any], said: list[str]) -> None:
    dataset = built(good(1), **leaving)
    described = manifest(contract=CONTRACT, contract_digest="c", dataset=dataset, data="d", as_of=minute(1_000))
    assert set(said) <= set(described.filters)
    assert described.left_out == dict(dataset.left_out)
