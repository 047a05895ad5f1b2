"""Rows, a model trained on them, and copies of it under other names: what is served is real, and made once."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec
import numpy as np

from homeostat.chaos.crashes.rehearsal import Cast
from streams.adapters.store import DirectoryStore
from streams.events import Scalar
from streams.policy import CanaryPolicy, DriftPolicy, Policy, StalenessPolicy, TrainingPolicy
from streams.release import encode, load_contract, load_release
from trainer.adapters.local_pool import LocalPool
from trainer.first_release import first_release

SEED: Final = 0
TABLE_ROWS: Final = 400
TARGET: Final = "y"
COLOURS: Final = ("red", "green", "blue")

SMALL: Final = Policy(
    staleness=StalenessPolicy(period=timedelta(minutes=10)),
    training=TrainingPolicy(
        parameters={"rounds": 5, "max_depth": 2}, window_rows=300, holdout_rows=40, minimum_rows=100, gate_margin=1.0
    ),
    canary=CanaryPolicy(steps=(0.5, 1.0)),
    drift=DriftPolicy(burn_in_rows=100),
)
"""Trains in a moment, and lets every candidate through the gate."""


def row(number: int) -> tuple[dict[str, Scalar], int]:
    """Features and label of the row of that number."""
    generator = np.random.default_rng((SEED, number))
    x = float(generator.normal())
    return {"x": x, "colour": COLOURS[int(generator.integers(3))]}, int(x + 0.3 * float(generator.normal()) > 0)


def table() -> dict[str, list[Scalar]]:
    """What a model is registered with."""
    rows = [row(number) for number in range(TABLE_ROWS)]
    columns: dict[str, list[Scalar]] = {name: [features[name] for features, _ in rows] for name in ("x", "colour")}
    return {**columns, TARGET: [label for _, label in rows]}


def train(store: DirectoryStore, model: str) -> str:
    """A release of that model in the store."""
    pool = LocalPool()
    try:
        release, _ = first_release(store, model, table(), TARGET, SMALL, pool, SEED)
    finally:
        pool.close()
    return release


def cast(store: DirectoryStore, model: str, template: str) -> Cast:
    """Another model with three releases, all copies of one."""
    made = load_release(store, template)
    contract = store.put(encode(msgspec.structs.replace(load_contract(store, made.contract), model=model)))
    copies = [
        store.put(encode(msgspec.structs.replace(made, model=model, contract=contract, run=f"{model}-{number}")))
        for number in range(3)
    ]
    return Cast(model=model, releases=(copies[0], copies[1], copies[2]), contract=contract)
