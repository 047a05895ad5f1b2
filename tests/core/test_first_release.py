"""A model's first release: the contract inferred from a table, and tables that make no model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest

from streams.contract import Contract, bin_of
from streams.events import Scalar
from streams.policy import Policy, TrainingPolicy
from streams.release import load_contract, load_profile, load_release
from tests.core.training_shop import POLICY, MemoryStore, register
from trainer.adapters.local_pool import LocalPool
from trainer.contract_inference import BadTable, infer_contract
from trainer.dataset import Manifest
from trainer.first_release import first_release
from trainer.runcard import RunCard

NUMBERS = [float(number) for number in range(100)]
LABELS = [number % 2 for number in range(100)]


def inferred(values: Sequence[Scalar], target: Sequence[Scalar] = LABELS, task: str = "classification") -> Contract:
    """Of a table with one feature."""
    return infer_contract("m", {"x": values, "y": target}, "y", task)


def test_a_number_has_its_median_a_robust_scale_and_a_wide_range() -> None:
    """One wild value moves neither centre nor scale much; only other units fall outside the range."""
    plain, wild = inferred(NUMBERS).features[0], inferred([*NUMBERS[:-1], 1e6]).features[0]
    assert plain.centre == wild.centre == 49.5
    assert plain.scale == wild.scale == pytest.approx(49.5 / 1.349)
    assert (plain.low, plain.high) == (-20 * 99.0, 99.0 + 20 * 99.0)


def test_a_constant_feature_has_a_tiny_scale_and_no_range() -> None:
    """Any move shows in another bin, and none is a violation."""
    feature = inferred([0.4] * 100).features[0]
    assert feature.low is feature.high is None
    assert bin_of(feature, 0.4) == 0
    assert abs(bin_of(feature, 0.41)) > 50


def test_a_feature_that_is_mostly_one_value_still_has_a_scale() -> None:
    """Half of the values equal: the quartiles say nothing."""
    assert inferred([0.0] * 90 + NUMBERS[:10]).features[0].scale > 0.1


@pytest.mark.parametrize(
    ("values", "kind"),
    [([True, False] * 50, "boolean"), (["a", "b"] * 50, "category"), ([1, 2] * 50, "number"), ([None, 2.5] * 50, "number")],
)
def test_the_kind_follows_the_values(values: Sequence[Scalar], kind: str) -> None:
    """Missing values say nothing about it."""
    assert inferred(values).features[0].kind == kind


def test_classes_are_names_in_order_however_they_are_spelt() -> None:
    """1, 1.0, True and '1' are one class."""
    assert inferred(NUMBERS, [1.0, 0, True, "0", "up"] * 20).target.classes == ("0", "1", "up")


def test_a_regressions_loss_is_scaled_by_the_spread_of_its_target() -> None:
    """From the first to the last decile."""
    assert inferred(NUMBERS, NUMBERS, "regression").target.scale == pytest.approx(79.2)


@pytest.mark.parametrize(
    ("table", "target", "task", "said"),
    [
        ({"x": NUMBERS}, "y", "classification", "no column 'y'; it has x"),
        ({"y": LABELS}, "y", "classification", "only the target 'y'"),
        ({"x": NUMBERS, "y": [1] * 100}, "y", "classification", "has one class, 1"),
        ({"x": NUMBERS, "y": LABELS[:-1]}, "y", "classification", "columns differ in length"),
        ({"x": NUMBERS, "y": [None, *LABELS[1:]]}, "y", "classification", "missing in 1 of 100 rows"),
        ({"x": [None] * 100, "y": LABELS}, "y", "classification", "'x' has no value"),
        ({"x": ["a", *NUMBERS[1:]], "y": LABELS}, "y", "classification", "mixes numbers and str"),
        ({"x": [math.inf, *NUMBERS[1:]], "y": LABELS}, "y", "classification", "infinite"),
        ({"x": NUMBERS * 3, "y": list(range(300))}, "y", "classification", "300 classes"),
        ({"x": NUMBERS, "y": ["a", "b"] * 50}, "y", "regression", "not numbers"),
        ({"x": NUMBERS, "y": [2.0] * 100}, "y", "regression", "constant"),
        ({"x": NUMBERS, "y": LABELS}, "y", "ranking", "got 'ranking'"),
        ({"x": NUMBERS, "y": LABELS}, "y", "classification", "100 rows to train on"),
    ],
)
def test_a_table_that_makes_no_model_is_refused_with_the_reason(
    table: dict[str, list[Scalar]], target: str, task: str, said: str
) -> None:
    """In one sentence that says what to do."""
    policy = Policy(training=TrainingPolicy(task=task))
    with pytest.raises(BadTable, match=said):
        first_release(MemoryStore(), "m", table, target, policy, LocalPool(), 1)


def test_it_trains_on_all_rows_and_stores_all_that_later_runs_need() -> None:
    """Dataset, profile, card and release; the card is where later runs find the registration's rows."""
    store = MemoryStore()
    digest, contract = register(store)
    release = load_release(store, digest)
    card = msgspec.json.decode(store.get(release.card), type=RunCard)
    described = msgspec.json.decode(store.get(card.inputs["dataset"]), type=Manifest)
    assert (release.contract, release.parent) == (contract, "")
    assert load_profile(store, release.profile).rows == 400
    assert (card.metrics["rows_fitted"], described.rows, described.holdout_rows) == (400, 400, 0)
    assert card.inputs["registration"] == described.data
    assert load_contract(store, contract).target.classes == ("0", "1")


def test_the_same_table_registers_the_same_release() -> None:
    """To register twice is to register once."""
    assert register(MemoryStore()) == register(MemoryStore())
    assert register(MemoryStore()) != register(MemoryStore(), rows=410)


def test_nan_is_a_missing_value() -> None:
    """Many tables spell it so."""
    labels: list[Scalar] = [number % 2 for number in range(400)]
    content: dict[str, list[Scalar]] = {"x": [math.nan, *NUMBERS[1:]] * 4, "y": labels}
    missing: dict[str, list[Scalar]] = {"x": [None, *NUMBERS[1:]] * 4, "y": labels}
    store = MemoryStore()
    releases = {first_release(store, "m", table, "y", POLICY, LocalPool(), 1) for table in (content, missing)}
    assert len(releases) == 1
