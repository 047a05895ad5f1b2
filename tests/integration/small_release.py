"""A small real release, fitted in a moment, for tests that need something to serve."""

from __future__ import annotations

import numpy as np
import xgboost

from streams.contract import Contract, FeatureContract, TargetContract
from streams.profile import Profile
from streams.release import BlobStore, Release, encode

FEATURES = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
ROWS = 2_000


def contract_of(model: str) -> Contract:
    """Six numbers and two classes."""
    features = tuple(FeatureContract(name=name, kind="number", centre=0.5, scale=0.3, low=-10.0, high=10.0) for name in FEATURES)
    return Contract(
        model=model, features=features, target=TargetContract(name="class", task="classification", classes=("0", "1"))
    )


def put_release(store: BlobStore, model: str, *, seed: int = 0) -> str:
    """Fit, store, and return the digest; another seed is another release."""
    generator = np.random.default_rng(seed)
    rows = generator.uniform(size=(ROWS, len(FEATURES))).astype(np.float32)
    target = rows[:, 1] + 0.3 * rows[:, 2] + 0.1 * generator.normal(size=ROWS) > 0.65
    parameters = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "nthread": 1, "seed": seed}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, target), num_boost_round=60)
    contract = store.put(encode(contract_of(model)))
    release = Release(
        model=model,
        artefact=store.put(bytes(booster.save_raw("ubj"))),
        format="xgboost-ubj",
        contract=contract,
        profile=store.put(encode(Profile(model=model, contract=contract, rows=ROWS, features=()))),
        card=store.put(b"{}"),
        run=f"run-{seed}",
    )
    return store.put(encode(release))


def row(index: int) -> dict[str, float]:
    """The row of that number; different for every one."""
    generator = np.random.default_rng(index)
    return {name: float(value) for name, value in zip(FEATURES, generator.uniform(size=len(FEATURES)), strict=True)}
