"""What a challenger tells of a file where a number is predicted: losses are |error| / scale, cut at 1, in whole units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drift.challenger import Shape, fresh
from homeostat.challenger_rows import LabelRows, joined
from homeostat.challenger_scoring import Scored, scored
from streams.contract import Contract, FeatureContract, TargetContract
from streams.events import UNIT
from streams.policy import Policy
from tests.core.test_challenger_rows import served
from tests.core.trainer_rows import label, prediction
from trainer.left_out import NO_RULES

CONTRACT = Contract(
    model="m",
    features=(FeatureContract(name="x", kind="number"),),
    target=TargetContract(name="y", task="regression", scale=2.0),
)
ROWS = 400


def told(off: float) -> Scored:
    """A line with a champion that is always off by so much, and a challenger that begins cold."""
    generator = np.random.default_rng(5)
    numbers = {seq: float(x) for seq, x in enumerate(generator.normal(size=ROWS), start=1)}
    rows = {seq: prediction(seq, features={"x": x}) for seq, x in numbers.items()}
    labels = [label(seq, value=3.0 * x + 1.0) for seq, x in numbers.items()]
    known = served(*rows.values())
    known = {key: replace(one, value=3.0 * numbers[one.prediction.seq] + 1.0 + off) for key, one in known.items()}
    file = LabelRows(partition=0, first_offset=0, end_offset=ROWS, labels=tuple(labels))
    found = joined([file], known, CONTRACT, NO_RULES)
    challenger = fresh(Shape.of(CONTRACT), 500.0)
    return scored(challenger, [file], found.rows, model="m", contract=CONTRACT, policy=Policy())


def test_a_champion_that_is_off_by_half_the_scale_loses_half_of_every_row() -> None:
    """And the challenger, which learns the line, less."""
    (record,) = told(1.0).records
    assert sum(one.n for one in record.scores) == ROWS
    assert sum(one.champion for one in record.scores) == ROWS * UNIT // 2
    assert 0 < sum(one.challenger for one in record.scores) < ROWS * UNIT // 2


def test_no_row_loses_more_than_everything() -> None:
    """A champion that is off by a million, or says what is no number."""
    for off in (1e6, float("nan")):
        (record,) = told(off).records
        assert sum(one.champion for one in record.scores) == ROWS * UNIT


def test_a_champion_that_is_right_loses_nothing() -> None:
    """The control."""
    (record,) = told(0.0).records
    assert sum(one.champion for one in record.scores) == 0
