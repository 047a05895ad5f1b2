"""Rows for the trainer's tests: two features, a class that one of them decides, and the times they were made and labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from streams.contract import Contract, FeatureContract, TargetContract
from streams.events import Scalar
from trainer.dataset import LoggedLabel, LoggedPrediction, LoggedRows
from trainer.table import Table

START = datetime(2024, 1, 1, tzinfo=UTC)
CONTRACT = Contract(
    model="m",
    features=(
        FeatureContract(name="x", kind="number", low=-10.0, high=10.0),
        FeatureContract(name="colour", kind="category"),
    ),
    target=TargetContract(name="y", task="classification", classes=("0", "1")),
)
COLOURS = ("red", "green", "blue")


def minute(number: float) -> datetime:
    """That many minutes after the start."""
    return START + timedelta(minutes=number)


def row(number: int, seed: int = 0) -> tuple[dict[str, Scalar], int]:
    """Features and label of the row of that number."""
    generator = np.random.default_rng((seed, number))
    x = float(generator.normal())
    return {"x": x, "colour": COLOURS[int(generator.integers(3))]}, int(x + 0.3 * float(generator.normal()) > 0)


def prediction(
    number: int,
    *,
    features: Mapping[str, Scalar] | None = None,
    at: float | None = None,
    offset: int = -1,
    flags: tuple[str, ...] = (),
    quarantined: bool | None = None,
) -> LoggedPrediction:
    """A served row; one with flags was in quarantine, unless it is said otherwise."""
    return LoggedPrediction(
        epoch=7,
        seq=number,
        at=minute(number if at is None else at),
        partition=number % 3,
        offset=number if offset < 0 else offset,
        features=row(number)[0] if features is None else features,
        flags=flags,
        quarantined=bool(flags) if quarantined is None else quarantined,
    )


def label(number: int, *, value: Scalar = None, at: float | None = None, offset: int = -1) -> LoggedLabel:
    """Its outcome, five minutes later."""
    return LoggedLabel(
        epoch=7,
        seq=number,
        at=minute(number + 5 if at is None else at),
        partition=number % 3,
        offset=number if offset < 0 else offset,
        label=row(number)[1] if value is None else value,
    )


def logged(predictions: Sequence[LoggedPrediction], labels: Sequence[LoggedLabel]) -> LoggedRows:
    """What a source would return."""
    return LoggedRows(predictions=predictions, labels=labels, covers={"predictions-0": 10})


def table(rows: int, seed: int = 0, *, served: bool = False) -> Table:
    """A table of that many rows."""
    content = [row(number, seed) for number in range(rows)]
    return Table(
        columns={name: tuple(features[name] for features, _ in content) for name in ("x", "colour")},
        target=tuple(str(value) for _, value in content),
        at=tuple(minute(number) if served else None for number in range(rows)),
    )
