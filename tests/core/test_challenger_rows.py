"""Which labelled rows a challenger gets, in which order, and which are left out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from homeostat.challenger_rows import Key, LabelRows, Served, is_drawn, joined
from streams.events import QuarantineRule, Scalar
from tests.core.trainer_rows import CONTRACT, label, minute, prediction
from trainer.dataset import LoggedLabel, LoggedPrediction
from trainer.left_out import NO_RULES, LeavingOut


def file(labels: Sequence[LoggedLabel], end_offset: int = 10) -> LabelRows:
    """One of partition 0."""
    return LabelRows(partition=0, first_offset=0, end_offset=end_offset, labels=tuple(labels))


def served(*rows: LoggedPrediction, value: float | None = 1.0) -> dict[Key, Served]:
    """By identity; the champion 'c' said that."""
    return {(row.epoch, row.seq): Served(prediction=row, champion="c", value=value) for row in rows}


def test_rows_come_in_the_order_of_prediction_whichever_file_has_their_label() -> None:
    """Each knows its file, for the record that it counts in."""
    rows = joined([file([label(3), label(1)]), file([label(2)])], served(*map(prediction, (1, 2, 3))), CONTRACT, NO_RULES).rows
    assert [(row.example.seq, row.file) for row in rows] == [(1, 0), (2, 1), (3, 0)]
    assert {(row.champion, row.value) for row in rows} == {("c", 1.0)}


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_labels_of_a_row_the_last_counts(turned: bool) -> None:
    """Whichever is read first; the other is said to be left out."""
    files = [file([label(1, value=0, at=9)]), file([label(1, value=1, at=8, offset=99)])]
    found = joined(files[::-1] if turned else files, served(prediction(1)), CONTRACT, NO_RULES)
    assert [row.example.label for row in found.rows] == [0]
    assert found.left_out == {"repeated": 1}


def test_labels_without_prediction_are_counted() -> None:
    """They are no rows, and nothing is made up for them."""
    found = joined([file([label(1), label(2)])], served(prediction(1)), CONTRACT, NO_RULES)
    assert (len(found.rows), found.unfound) == (1, 1)


@pytest.mark.parametrize(
    ("row", "outcome", "reason"),
    [
        (prediction(1, features={"x": 99.0, "colour": "red"}), 1, "x:range"),
        (prediction(1, features={"x": "text", "colour": "red"}), 1, "x:type"),
        (prediction(1, flags=("x:unit",)), 1, "x:unit"),
        (prediction(1, features={"x": 3.0, "colour": "red"}), 1, "x:unit"),
        (prediction(1), "none", "label"),
        (prediction(1, features={"x": 1.0, "colour": "red"}), 1, ""),
    ],
)
def test_what_a_training_leaves_out_is_left_out(row: LoggedPrediction, outcome: Scalar, reason: str) -> None:
    """Range, type, quarantine as served, a rule that is younger than the row, a label of no class; and a good row, which stays."""
    rule = QuarantineRule(incident="i", feature="x", kind="unit", since=minute(0), low=-2.0, high=2.0)
    found = joined([file([label(1, value=outcome)])], served(row), CONTRACT, LeavingOut(quarantine=(rule,)))
    assert found.left_out == ({reason: 1} if reason else {})
    assert len(found.rows) == (not reason)


def test_a_row_that_the_champion_did_not_answer_is_a_row() -> None:
    """It can be learnt from; who sums losses passes it over."""
    rows = joined([file([label(1)])], served(prediction(1), value=None), CONTRACT, NO_RULES).rows
    assert [row.value for row in rows] == [None]


def test_a_share_is_near_what_is_asked_and_grows_by_rows() -> None:
    """Who is drawn at a tenth is drawn at a half."""
    keys = [(epoch, seq) for epoch in (3, 2**62) for seq in range(5_000)]
    tenth, half = ({key for key in keys if is_drawn(key, share)} for share in (0.1, 0.5))
    assert tenth < half
    assert 900 < len(tenth) < 1_100
    assert 4_800 < len(half) < 5_200
