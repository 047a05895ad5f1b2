"""The reference of a release: counts as live rows are counted, and the dependence that its order shows."""

from __future__ import annotations

import numpy as np
import pytest

from streams.contract import Contract, FeatureContract, TargetContract, bin_of
from streams.events import Scalar
from streams.profile import Profile
from streams.reference import reference_profile

CONTRACT = Contract(
    model="m",
    features=(
        FeatureContract(name="x", kind="number", low=-3.0, high=3.0),
        FeatureContract(name="colour", kind="category"),
    ),
    target=TargetContract(name="y", task="regression", scale=2.0),
)


def profiled(x: list[Scalar], colour: list[Scalar], outputs: list[float]) -> Profile:
    """The reference of these columns."""
    return reference_profile(
        model="m", contract_digest="d", contract=CONTRACT, columns={"x": x, "colour": colour}, outputs=outputs
    )


def test_values_without_a_bin_are_missing_and_values_out_of_range_are_not() -> None:
    """As the monitor counts live rows: a wrong type or no finite number has no bin, an implausible value has one."""
    found = profiled([0.0, 0.0, 50.0, None, "7", float("nan"), 1e308], ["a", "a", "b", None, 3.0, "a", "a"], [0.0] * 7)
    x, colour = found.features
    assert x.bins == {0: 2, bin_of(CONTRACT.features[0], 50.0): 1, bin_of(CONTRACT.features[0], 1e308): 1}
    assert x.missing == 3
    assert (sorted(colour.bins.values()), colour.missing) == ([1, 4], 2)
    assert (found.rows, found.outputs, found.contract) == (7, {0: 7}, "d")


def test_order_carries_the_dependence_and_shuffling_destroys_it() -> None:
    """Rows in runs of 20 count for less than the same rows shuffled."""
    rng = np.random.default_rng(4)
    runs = np.repeat(rng.normal(size=150), 20)
    shuffled = rng.permutation(runs)
    ordered, mixed = (
        profiled([float(value) for value in values], ["a"] * 3_000, [float(value) for value in values])
        for values in (runs, shuffled)
    )
    assert ordered.features[0].bins == mixed.features[0].bins
    assert ordered.features[0].design_effect > 10
    assert ordered.output_design_effect > 10
    assert mixed.features[0].design_effect < 1.5
    assert ordered.features[1].design_effect == 1.0


def test_columns_must_be_whole() -> None:
    """A feature without its column, or with another number of rows, is refused by name."""
    with pytest.raises(ValueError, match="feature 'x' of model 'm' has 1 rows, wanted 2"):
        profiled([0.0], ["a", "a"], [0.0, 0.0])
    with pytest.raises(ValueError, match="feature 'x' of model 'm' has no column"):
        reference_profile(model="m", contract_digest="d", contract=CONTRACT, columns={}, outputs=[0.0])
