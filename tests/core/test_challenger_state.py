"""The bytes of a challenger: a round trip changes no later answer, and anything else is refused."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from drift.challenger import Shape, UnreadableChallenger, decode, encode, fresh, predict, predicted_then_learnt, warmed
from tests.core.challenger_rows import Rows, linear, numbers

MIXED = Shape(kinds=("number", "category", "boolean", "number"), classes=3)
WIDE = Shape(kinds=("number",) * 200, classes=2)


def rows_of(shape: Shape, seed: int, count: int) -> Rows:
    """Rows of every kind with values missing."""
    random = np.random.default_rng(seed)
    matrix = np.column_stack([random.integers(0, 2, count) * (3 if kind == "category" else 1) for kind in shape.kinds])
    matrix = np.where(random.random(matrix.shape) < 0.1, np.nan, matrix + random.random(matrix.shape) / 4)
    target = random.integers(0, shape.classes, count).astype(np.float64) if shape.classes else random.normal(size=count)
    return Rows(matrix.astype(np.float32), target)


@pytest.mark.parametrize("shape", [MIXED, WIDE, numbers(4, classes=0, target_scale=3.0)])
def test_a_round_trip_changes_no_later_answer(shape: Shape) -> None:
    """To the last bit, through the next blocks and solves."""
    before = rows_of(shape, 0, 700)
    state = warmed(fresh(shape, 400, seed=9), before.matrix, before.target)
    copy = decode(encode(state))
    assert encode(copy) == encode(state)
    later = rows_of(shape, 1, 900)
    for part in (slice(0, 48), slice(48, 900)):
        state, ours = predicted_then_learnt(state, later.matrix[part], later.target[part])
        copy, theirs = predicted_then_learnt(copy, later.matrix[part], later.target[part])
        np.testing.assert_array_equal(ours, theirs)
    for one, other in zip(predict(state, later.matrix), predict(copy, later.matrix), strict=True):
        np.testing.assert_array_equal(one, other) if one is not None else None
    assert encode(copy) == encode(state)


def test_the_bytes_are_bounded() -> None:
    """However many rows it has learnt, and however wide they are."""
    few, many = (warmed(fresh(numbers(4), 500), *_arrays(linear(count))) for count in (900, 5_000))
    assert len(encode(many)) < 1.2 * len(encode(few)) < 300_000
    rows = rows_of(WIDE, 0, 300)
    assert len(encode(warmed(fresh(WIDE, 500), rows.matrix, rows.target))) < 4_000_000


def test_equal_rows_give_equal_bytes_and_another_seed_gives_others() -> None:
    """Whoever folds the same rows has the same challenger."""
    made = [encode(warmed(fresh(numbers(4), 500, seed=seed), *_arrays(linear(600)))) for seed in (1, 1, 2)]
    assert made[0] == made[1]
    assert made[0] != made[2]


@pytest.mark.parametrize("spoil", ["empty", "cut", "other", "newer", "short array"])
def test_bytes_that_are_no_challenger_are_refused(spoil: str) -> None:
    """With what is wrong and what to do."""
    data = encode(warmed(fresh(numbers(4), 500), *_arrays(linear(300))))
    told = msgspec.msgpack.decode(data)
    spoilt = {
        "empty": b"",
        "cut": data[:-5],
        "other": msgspec.msgpack.encode({"a": 1}),
        "newer": msgspec.msgpack.encode([99, *told[1:]]),
        "short array": msgspec.msgpack.encode([*told[:-1], told[-1][:-3]]),
    }[spoil]
    with pytest.raises(UnreadableChallenger, match="begin anew"):
        decode(spoilt)
    assert decode(data).rows == 300


def test_restarts_are_kept() -> None:
    """A restart of the process does not hide one of the challenger."""
    assert decode(encode(replace(fresh(numbers(4), 500), restarts=2))).restarts == 2


def _arrays(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return rows.matrix, rows.target
