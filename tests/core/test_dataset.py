"""Which rows a run learns from, whatever order they are read in."""

from __future__ import annotations

import random

from streams.policy import TrainingPolicy
from tests.core.trainer_rows import CONTRACT, label, logged, minute, prediction, table
from trainer.dataset import Dataset, LoggedRows, assemble, join, manifest
from trainer.table import Table

POLICY = TrainingPolicy(window_rows=6, holdout_rows=2)


def built(
    rows: LoggedRows, *, as_of: float = 1_000, policy: TrainingPolicy = POLICY, registration: Table | None = None
) -> Dataset:
    """The dataset as of so many minutes."""
    return assemble(contract=CONTRACT, rows=rows, registration=registration, policy=policy, as_of=minute(as_of))


def test_the_window_is_the_newest_labelled_rows_in_event_time_order() -> None:
    """Twenty labelled rows, a window of six: the last six, oldest first, the newest two kept for the gate."""
    rows = logged([prediction(n) for n in range(20)], [label(n) for n in range(20)])
    dataset = built(rows)
    assert list(dataset.table.at) == [minute(n) for n in range(14, 20)]
    assert dataset.table.columns["x"][0] == prediction(14).features["x"]
    assert (dataset.live_from, dataset.holdout_from) == (0, 4)


def test_the_order_of_reading_does_not_matter() -> None:
    """Shuffled predictions and labels, repeats among them, give the same dataset."""
    predictions = [prediction(n) for n in range(30)] + [prediction(n, offset=1_000 + n, features={"x": 0.0}) for n in range(30)]
    labels = [label(n) for n in range(30)] + [label(n, value=1 - n % 2, at=n + 9, offset=500 + n) for n in range(30)]
    expected = built(logged(predictions, labels))
    generator = random.Random(5)
    for _ in range(5):
        generator.shuffle(predictions)
        generator.shuffle(labels)
        assert built(logged(predictions, labels)) == expected


def test_a_repeated_prediction_counts_once_and_its_first_copy_holds() -> None:
    """The copy at the lower offset is the one that was counted."""
    rows = logged([prediction(1, offset=9, features={"x": 9.0}), prediction(1, offset=3, features={"x": 3.0})], [label(1)])
    assert [example.features["x"] for example in join(rows, minute(100))] == [3.0]


def test_the_last_label_wins_by_time_and_then_by_offset() -> None:
    """A correction replaces the outcome; of two at the same time the later written."""
    rows = logged(
        [prediction(1)], [label(1, value=0, at=8, offset=4), label(1, value=1, at=8, offset=5), label(1, value=0, at=7, offset=9)]
    )
    assert [example.label for example in join(rows, minute(100))] == [1]


def test_nothing_later_than_as_of_is_used() -> None:
    """Neither a row made later nor a label that became known later: the same order gives the same dataset tomorrow."""
    early = logged([prediction(n) for n in range(10)], [label(n) for n in range(10)])
    later = logged([prediction(n) for n in range(40)], [*(label(n) for n in range(40)), label(3, value=0, at=30)])
    assert built(early, as_of=9).table == built(later, as_of=9).table
    assert [example.seq for example in join(later, minute(9))] == [0, 1, 2, 3, 4]


def test_unlabelled_rows_and_labels_without_a_row_are_no_examples() -> None:
    """Both halves are needed."""
    assert join(logged([prediction(1), prediction(2)], [label(2), label(3)]), minute(100))[0].seq == 2
    assert len(join(logged([prediction(1), prediction(2)], [label(2), label(3)]), minute(100))) == 1


def test_a_short_window_is_filled_with_the_newest_rows_of_the_registration() -> None:
    """It keeps its length; the registration's rows come first, since they are older."""
    registration = table(50, seed=3)
    dataset = built(logged([prediction(n) for n in range(2)], [label(n) for n in range(2)]), registration=registration)
    assert dataset.table.rows == 6
    assert dataset.live_from == 4
    assert dataset.table.columns["x"][:4] == registration.columns["x"][46:]
    assert dataset.table.at == (None, None, None, None, minute(0), minute(1))


def test_rows_that_break_the_contract_are_left_out_and_counted() -> None:
    """A unit error must not be learnt; older good rows take their place."""
    predictions = [prediction(n) for n in range(8)] + [prediction(8, features={"x": 1e6, "colour": "red"})]
    dataset = built(logged(predictions, [*(label(n) for n in range(8)), label(8), label(7, value="maybe", at=20)]))
    assert list(dataset.table.at) == [minute(n) for n in range(1, 7)]
    assert dataset.left_out == {"x:range": 1, "label": 1}


def test_the_manifest_says_which_rows_they_are() -> None:
    """Counts, times, filters and source offsets."""
    dataset = built(logged([prediction(n) for n in range(2)], [label(n) for n in range(2)]), registration=table(50))
    described = manifest(contract=CONTRACT, contract_digest="c", dataset=dataset, data="d", as_of=minute(1_000))
    assert (described.rows, described.registration_rows, described.holdout_rows) == (6, 4, 2)
    assert (described.first_at, described.last_at) == (minute(0), minute(1))
    assert described.covers == {"predictions-0": 10}
    assert described.columns == ("x", "colour")
