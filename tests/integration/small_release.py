"""A small real release, fitted in a moment, for tests that need something to serve."""

from __future__ import annotations

import json
import math

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


def put_release(store: BlobStore, model: str, *, seed: int = 0, fails: str = "") -> str:
    """Fit, store, and return the digest; another seed is another release.

    `fails`: "nan" answers that to every row, "unreadable" is an artefact that no library reads; any other word only stands
    in the artefact, as its attribute `fails`, for a patched predictor to act on.
    """
    generator = np.random.default_rng(seed)
    rows = generator.uniform(size=(ROWS, len(FEATURES))).astype(np.float32)
    target = rows[:, 1] + 0.3 * rows[:, 2] + 0.1 * generator.normal(size=ROWS) > 0.65
    parameters = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "nthread": 1, "seed": seed}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, target), num_boost_round=60)
    if fails == "nan":
        booster = with_nan_leaves(booster)
    booster.set_attr(fails=fails or None)
    artefact = b"no model" if fails == "unreadable" else bytes(booster.save_raw("ubj"))
    contract = store.put(encode(contract_of(model)))
    release = Release(
        model=model,
        artefact=store.put(artefact),
        format="xgboost-ubj",
        contract=contract,
        profile=store.put(encode(Profile(model=model, contract=contract, rows=ROWS, features=()))),
        card=store.put(b"{}"),
        run=f"run-{seed}",
    )
    return store.put(encode(release))


def with_nan_leaves(booster: xgboost.Booster) -> xgboost.Booster:
    """The same trees, with NaN for every leaf."""
    model = json.loads(bytes(booster.save_raw("json")))
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        nodes = zip(tree["left_children"], tree["split_conditions"], strict=True)
        tree["split_conditions"] = [math.nan if left == -1 else value for left, value in nodes]
    changed = xgboost.Booster()
    changed.load_model(bytearray(json.dumps(model).encode()))
    return changed


def row(index: int) -> dict[str, float]:
    """The row of that number; different for every one."""
    generator = np.random.default_rng(index)
    return {name: float(value) for name, value in zip(FEATURES, generator.uniform(size=len(FEATURES)), strict=True)}
