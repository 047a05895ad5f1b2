"""Whether a dataset may be trained on, with reasons that a person can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from streams.contract import NUMBER, Contract
from streams.policy import TrainingPolicy
from trainer.dataset import Dataset
from trainer.table import Table

MOST_LEFT_OUT: Final = 0.5
"""If more of the newest rows break the contract, what is left is not what the model will meet."""
MINIMUM_DISTINCT: Final = 10


def validate(dataset: Dataset, contract: Contract, policy: TrainingPolicy) -> tuple[str, ...]:
    """The reasons not to train on it; empty when it may be."""
    fitted = dataset.table.part(0, dataset.holdout_from)
    return (
        *_schema(dataset.table, contract),
        *_rows(fitted, policy),
        *_target(fitted, contract, policy),
        *_duplicates(dataset.table, contract),
        *_ranges(dataset),
    )


def _schema(table: Table, contract: Contract) -> Iterator[str]:
    for feature in contract.features:
        if feature.name == contract.target.name:
            yield f"the target {feature.name!r} is among the features: the model would only copy it. Register without it."
        values = table.columns.get(feature.name)
        if values is None:
            yield f"feature {feature.name!r} is not in the dataset, which has {', '.join(sorted(table.columns))}."
        elif len(values) != table.rows:
            yield f"feature {feature.name!r} has {len(values)} values for {table.rows} rows."
        elif table.rows and all(value is None for value in values):
            yield f"feature {feature.name!r} is missing in all {table.rows} rows: does the client still send it?"


def _rows(fitted: Table, policy: TrainingPolicy) -> Iterator[str]:
    if fitted.rows < policy.minimum_rows:
        yield (
            f"{fitted.rows} rows to train on beside {policy.holdout_rows} kept for the gate, {policy.minimum_rows} are needed: "
            f"{_remedy(policy)}, or lower minimum_rows."
        )


def _remedy(policy: TrainingPolicy) -> str:
    """A window that is too short in itself is filled by no waiting."""
    least = policy.minimum_rows + policy.holdout_rows
    if policy.window_rows < least:
        return f"ask for a window of {least} rows or more (it was {policy.window_rows})"
    return "wait for labels"


def _target(fitted: Table, contract: Contract, policy: TrainingPolicy) -> Iterator[str]:
    if not fitted.rows:
        return
    counts = Counter(fitted.target)
    if contract.target.task == "regression":
        if len(counts) == 1:
            yield f"the target {contract.target.name!r} is {fitted.target[0]!r} in all {fitted.rows} rows: there is nothing to learn."
        return
    enough = [name for name, rows in counts.items() if rows >= policy.minimum_class_rows]
    if len(enough) < 2:
        seen = ", ".join(f"{name!r} {counts[name]}" for name in contract.target.classes)
        yield f"rows by class are {seen}; at least two classes need {policy.minimum_class_rows} rows each."


def _duplicates(table: Table, contract: Contract) -> Iterator[str]:
    """A stuck client sends one row for ever. Small categorical tables repeat rows honestly, so only the extreme is refused."""
    if table.rows < MINIMUM_DISTINCT or not any(feature.kind == NUMBER for feature in contract.features):
        return
    columns = [table.columns[feature.name] for feature in contract.features if feature.name in table.columns]
    distinct = len(set(zip(*columns, strict=False)))
    if distinct < MINIMUM_DISTINCT:
        yield f"only {distinct} distinct rows among {table.rows}: is a client sending the same row again and again?"


def _ranges(dataset: Dataset) -> Iterator[str]:
    live = dataset.table.rows - dataset.live_from
    out = sum(dataset.left_out.values())
    if out and out > MOST_LEFT_OUT * (out + live):
        worst, rows = max(dataset.left_out.items(), key=lambda entry: (entry[1], entry[0]))
        yield (
            f"{out} of the newest {out + live} labelled rows break the contract (most: {worst}, {rows} rows): "
            "mend what sends them, or register the model anew if the world has moved."
        )
