"""What the challenger learns, what it forgets, and what it survives."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from drift.challenger import Shape, fresh, losses_of, predict, predicted_then_learnt, warmed
from streams.contract import Contract, FeatureContract, TargetContract
from streams.encoding import Matrix
from tests.core.challenger_rows import Floats, Rows, linear, lost, normal, numbers, ring
from trainer.table import losses


def test_a_line_is_learnt_and_shuffled_labels_are_not() -> None:
    """Two hundred rows are enough for a line; labels of other rows teach nothing beyond the majority."""
    rows = linear(2_000)
    assert lost(numbers(4), rows)[1][1_000:].mean() < 0.05
    control = lost(numbers(4), rows.shuffled_labels(1))[1].mean()
    assert 0.46 < control < 0.54


def test_shuffled_labels_of_a_rare_class_are_no_better_than_the_majority() -> None:
    """One in ten: whoever says no always loses a tenth."""
    rows = Rows(normal(3_000, 4, 0), (np.arange(3_000) % 10 == 0).astype(np.float64)).shuffled_labels(2)
    rare = rows.target[200:].mean()
    assert rare - 0.01 <= lost(numbers(4), rows)[1].mean() < rare + 0.03


def test_what_no_line_tells_is_learnt_by_the_cosines() -> None:
    """The best line on this circle loses about as much as saying 'outside' always."""
    rows = ring(3_000)
    majority = min(rows.target.mean(), 1.0 - rows.target.mean())
    assert lost(numbers(2), rows)[1][1_500:].mean() < 0.25 * majority


def test_an_abrupt_change_is_followed_within_the_memory() -> None:
    """The opposite concept from row 2,000 on: right again a memory later, wrong just after it. Control: no change."""
    before, after = linear(2_000, seed=0), linear(1_600, seed=1, sign=-1.0)
    turned = Rows(np.concatenate([before.matrix, after.matrix]), np.concatenate([before.target, after.target]))
    _, losses_ = lost(numbers(4), turned, memory_rows=800, warm=500)
    assert losses_[1_500:1_550].mean() > 0.9
    assert losses_[2_300:].mean() < 0.08
    same = Rows(turned.matrix, np.concatenate([before.target, 1.0 - after.target]))
    assert lost(numbers(4), same, memory_rows=800, warm=500)[1][1_500:1_550].mean() < 0.1


def test_the_short_memory_answers_after_a_change_and_the_long_one_in_calm() -> None:
    """On noisy labels, where a long memory pays."""
    before, after = linear(3_000, seed=0), linear(500, seed=1, sign=-1.0)
    flipped = np.random.default_rng(2).random(3_500) < 0.25
    target = np.abs(np.concatenate([before.target, after.target]) - flipped)
    matrix = np.concatenate([before.matrix, after.matrix])
    calm, _ = lost(numbers(4), Rows(matrix[:3_000], target[:3_000]), memory_rows=1_500, warm=1_000)
    changed, _ = lost(numbers(4), Rows(matrix, target), memory_rows=1_500, warm=1_000)
    assert (calm.answering, changed.answering) == (0, 1)


def test_five_classes_and_those_that_come_later() -> None:
    """The fifth is first seen at row 1,500, and known soon after."""
    matrix = normal(3_000, 3, 0)
    target = np.digitize(matrix[:, 0], [-0.8, 0.0, 0.8]).astype(np.float64)
    late = (np.arange(3_000) >= 1_500) & (matrix[:, 1] > 1.0)
    target[late] = 4.0
    state, losses_ = lost(numbers(3, classes=5), Rows(matrix, target))
    assert losses_[2_300:].mean() < 0.15
    assert losses_[2_300:][late[2_500:]].mean() < 0.35
    _, confidences = predict(state, matrix)
    assert confidences is not None
    assert ((confidences >= 0.2) & (confidences <= 1.0)).all()


def test_one_class_so_far_is_answered() -> None:
    """Nothing else is known."""
    rows = Rows(normal(400, 2, 0), np.ones(400))
    state, losses_ = lost(numbers(2), rows)
    assert losses_.sum() == 0.0
    assert set(predict(state, rows.matrix)[0].tolist()) == {1.0}


def test_numbers_are_learnt_in_their_own_unit_and_followed() -> None:
    """Far from 0, and moved by many scales at row 1,500. Control: the mean loses more."""
    matrix = normal(3_000, 3, 0)
    target = 1e6 + 2_000.0 * matrix[:, 0] - 500.0 * np.abs(matrix[:, 1])
    target[1_500:] += 1e5
    shape = numbers(3, classes=0, target_scale=2_000.0)
    _, losses_ = lost(shape, Rows(matrix, target))
    assert losses_[800:1_300].mean() < 0.15
    assert losses_[2_300:].mean() < 0.15
    mean = losses_of(shape, np.full(700, target[2_300:].mean()), target[2_300:])
    assert mean.mean() > 0.4


def test_categories_booleans_and_missing_values_teach() -> None:
    """The class is told by a bucket, a boolean, or by a value that is missing. Control: without that feature, by nothing."""
    random = np.random.default_rng(0)
    buckets = np.array([17.0, 911.0, 2_050.0, 4_001.0])[random.integers(0, 4, 1_500)]
    boolean = random.integers(0, 2, 1_500).astype(np.float64)
    number = np.where(random.random(1_500) < 0.4, np.nan, random.normal(size=1_500))
    matrix = np.stack([buckets, boolean, number], axis=1).astype(np.float32)
    shape = Shape(kinds=("category", "boolean", "number"), classes=2)
    blind = (
        Rows(matrix, target) for target in (np.isin(buckets, [17.0, 2_050.0]) * 1.0, boolean, np.isnan(number).astype(np.float64))
    )
    for place, rows in enumerate(blind):
        assert lost(shape, rows)[1].mean() < 0.02
        others = [other for other in range(3) if other != place]
        without = replace(shape, kinds=tuple(shape.kinds[other] for other in others))
        assert lost(without, Rows(rows.matrix[:, others], rows.target))[1].mean() > 0.3


@pytest.mark.parametrize("spoilt", ["empty", "constant", "infinite", "largest", "tiny"])
def test_a_column_that_tells_nothing_does_no_harm(spoilt: str) -> None:
    """Nor do infinities (missing) and the largest of 32-bit numbers."""
    rows = linear(2_000)
    random = np.random.default_rng(3)
    column = {
        "empty": np.full(2_000, np.nan),
        "constant": np.full(2_000, 1e7),
        "infinite": np.where(random.random(2_000) < 0.5, np.inf, -np.inf),
        "largest": np.where(random.random(2_000) < 0.5, 3.4e38, -3.4e38),
        "tiny": random.normal(size=2_000) * 1e-38,
    }[spoilt]
    with np.errstate(all="raise", under="ignore"):
        _, losses_ = lost(numbers(5), Rows(np.column_stack([rows.matrix, column]).astype(np.float32), rows.target))
    assert losses_[1_000:].mean() < 0.07


def test_scales_are_found_and_found_again() -> None:
    """Features of ten million, which then change their unit a millionfold: the concept is known again a memory later."""
    rows = linear(4_000)
    large = rows.matrix * np.float32(1e7) + np.float32(3e7)
    _, still = lost(numbers(4), Rows(large, rows.target), memory_rows=800)
    large[2_000:] *= np.float32(1e-6)
    _, losses_ = lost(numbers(4), Rows(large, rows.target), memory_rows=800)
    assert still[1_000:].mean() < 0.05
    assert losses_[3_200:].mean() < 0.05


def test_wide_rows_cost_no_more_than_the_bound() -> None:
    """Two hundred numbers and a hundred categories are folded; the one that tells is still heard, among the first 60."""
    shape = Shape(kinds=("number",) * 200 + ("category",) * 100, classes=2)
    assert shape.width == 512
    random = np.random.default_rng(0)
    matrix = np.hstack([random.normal(size=(1_200, 60)), random.integers(0, 9, (1_200, 20))]).astype(np.float32)
    narrow = Shape(kinds=("number",) * 60 + ("category",) * 20, classes=2)
    assert lost(narrow, Rows(matrix, (matrix[:, 3] > 0) * 1.0), batch=240)[1][600:].mean() < 0.2
    state = fresh(shape, 500)
    wide = np.hstack([random.normal(size=(300, 200)), random.integers(0, 4_096, (300, 100))]).astype(np.float32)
    state, losses_ = predicted_then_learnt(state, wide, (wide[:, 0] > 0) * 1.0)
    assert losses_.shape == (300,)
    assert state.restarts == 0


def test_any_split_into_batches_and_any_order_learns_about_the_same() -> None:
    """One row at a time, or all at once, or backwards: no split blows up."""
    rows = linear(700)
    ends = [lost(numbers(4), rows, warm=100, batch=batch)[1][300:].mean() for batch in (1, 7, 48, 600)]
    backwards = Rows(rows.matrix[::-1], rows.target[::-1])
    ends.append(lost(numbers(4), backwards, warm=100)[1][300:].mean())
    assert max(ends) < 0.12


def test_a_label_that_is_none_loses_and_is_not_learnt() -> None:
    """Not a number, no class, between classes."""
    state = warmed(fresh(numbers(4), 500), *_pair(linear(300)))
    rows = linear(4, seed=1)
    after, losses_ = predicted_then_learnt(state, rows.matrix, np.array([np.nan, 2.0, -1.0, 0.5]))
    assert losses_.tolist() == [1.0] * 4
    assert after.rows == state.rows
    number = fresh(numbers(4, classes=0), 500)
    assert predicted_then_learnt(number, rows.matrix, np.array([np.inf, np.nan, 1e300, 0.0]))[1].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_nothing_is_answered_by_one_that_knows_nothing() -> None:
    """Empty batches, empty training rows: no error, and an even chance."""
    state = warmed(fresh(numbers(2, classes=4), 100), np.empty((0, 2), dtype=np.float32), np.empty(0))
    state, losses_ = predicted_then_learnt(state, np.empty((0, 2), dtype=np.float32), np.empty(0))
    assert losses_.tolist() == []
    values, confidences = predict(state, normal(3, 2, 0))
    assert values.tolist() == [0.0] * 3
    assert confidences is not None
    assert confidences.tolist() == [0.25] * 3


def test_sums_that_are_no_numbers_begin_anew_and_say_so() -> None:
    """No coefficients come of them; then it learns as before."""
    rows = linear(600)
    state = warmed(fresh(numbers(4), 500, seed=5), rows.matrix, rows.target)
    spoilt = replace(state, moments=np.full_like(state.moments, np.nan))
    again, losses_ = predicted_then_learnt(spoilt, rows.matrix, rows.target)
    assert (state.restarts, again.restarts) == (0, 1)
    assert (again.seed, again.memories) == (state.seed, state.memories)
    assert losses_[300:].mean() < 0.2


def test_state_that_was_handed_out_is_never_changed() -> None:
    """Every array of it, through a block and a solve."""
    rows = linear(1_500)
    state = warmed(fresh(numbers(4), 500), rows.matrix[:300], rows.target[:300])
    kept = {field.name: np.copy(getattr(state, field.name)) for field in fields(state) if _is_array(getattr(state, field.name))}
    given = rows.matrix.copy()
    predicted_then_learnt(state, rows.matrix[300:], rows.target[300:])
    assert set(kept) == {"moments", "products", "coefficients", "misses", "block", "block_target"}
    for name, before in kept.items():
        np.testing.assert_array_equal(before, getattr(state, name))
    np.testing.assert_array_equal(given, rows.matrix)


def test_losses_are_those_by_which_champions_are_measured() -> None:
    """The same numbers as in the trainer, on good and bad outputs."""
    said = np.array([0.0, 1.0, np.nan, np.inf, 2.5, -4.0])
    truth = np.array([0.0, 0.0, 1.0, 1.0, 2.0, 3.0])
    classes = TargetContract(name="y", task="classification", classes=("a", "b", "c", "d"))
    number = TargetContract(name="y", task="regression", scale=2.0)
    feature = FeatureContract(name="x", kind="number", centre=3.0, scale=2.0)
    for target in (classes, number):
        shape = Shape.of(Contract(model="m", features=(feature,), target=target))
        np.testing.assert_array_equal(losses_of(shape, said, truth), losses(target, said, truth))
    assert (shape.kinds, shape.centres, shape.scales) == (("number",), (3.0,), (2.0,))


def _pair(rows: Rows) -> tuple[Matrix, Floats]:
    return rows.matrix, rows.target


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)
