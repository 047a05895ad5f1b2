"""Datasets that must not be trained on, each with a reason that names what is wrong."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from streams.contract import Contract, FeatureContract, TargetContract
from streams.policy import TrainingPolicy
from tests.core.trainer_rows import CONTRACT, table
from trainer.dataset import Dataset
from trainer.table import Table
from trainer.validate import validate

POLICY = TrainingPolicy(minimum_rows=100, minimum_class_rows=10, holdout_rows=20)


def dataset(rows: Table, left_out: dict[str, int] | None = None) -> Dataset:
    """All rows live, the newest twenty kept."""
    return Dataset(table=rows, live_from=0, holdout_from=rows.rows - 20, left_out=left_out or {}, covers={})


def with_column(name: str, values: tuple[float | str | None, ...]) -> Table:
    """A good table with one column replaced."""
    good = table(200)
    return replace(good, columns={**good.columns, name: values})


def test_a_good_dataset_has_no_fault() -> None:
    """The table that the others are made of."""
    assert validate(dataset(table(200)), CONTRACT, POLICY) == ()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (table(110), "90 rows to train on"),
        (replace(table(200), target=("1",) * 200), "'1' 180; at least two classes"),
        (replace(table(200), target=("0",) * 9 + ("1",) * 191), "'0' 9, '1' 171"),
        (with_column("x", (None,) * 200), "'x' is missing in all 200 rows"),
        (with_column("x", (1.0,) * 200), "only 3 distinct rows among 200"),
        (with_column("x", (1.0,) * 150), "'x' has 150 values for 200 rows"),
    ],
)
def test_each_fault_is_named(rows: Table, said: str) -> None:
    """What was seen, with its numbers."""
    reasons = " ".join(validate(dataset(rows), CONTRACT, POLICY))
    assert said in reasons


def test_a_missing_column_is_named() -> None:
    """A schema fault says what there is instead."""
    good = table(200)
    reasons = validate(dataset(replace(good, columns={"colour": good.columns["colour"]})), CONTRACT, POLICY)
    assert any("'x' is not in the dataset, which has colour" in reason for reason in reasons)


def test_a_constant_target_of_a_regression_is_refused() -> None:
    """There is nothing to learn."""
    contract = msgspec.structs.replace(CONTRACT, target=TargetContract(name="y", task="regression"))
    reasons = validate(dataset(replace(table(200), target=(3.0,) * 200)), contract, POLICY)
    assert any("3.0 in all 180 rows" in reason for reason in reasons)


def test_the_target_among_the_features_is_refused() -> None:
    """The model would copy it, and fail when it is served without."""
    leaking = Contract(
        model="m", features=(FeatureContract(name="x", kind="number"),), target=TargetContract(name="x", task="regression")
    )
    assert any("would only copy it" in reason for reason in validate(dataset(table(200)), leaking, POLICY))


def test_a_dataset_whose_newest_rows_mostly_break_the_contract_is_refused() -> None:
    """What is left is not what the model will meet; a few broken rows do no harm."""
    assert any(
        "most: x:range, 300 rows" in reason for reason in validate(dataset(table(200), {"x:range": 300}), CONTRACT, POLICY)
    )
    assert validate(dataset(table(200), {"x:range": 20}), CONTRACT, POLICY) == ()
