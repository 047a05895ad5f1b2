"""What of a row reaches the log."""

from __future__ import annotations

import pytest

from serving.privacy import logged
from streams.contract import Contract, FeatureContract, TargetContract, bin_of
from streams.events import Scalar

AGE = FeatureContract(name="age", kind="number", centre=40.0, scale=10.0)
CITY = FeatureContract(name="city", kind="category")
MEMBER = FeatureContract(name="member", kind="boolean")
CONTRACT = Contract(
    model="m", features=(AGE, CITY, MEMBER), target=TargetContract(name="y", task="classification", classes=("0", "1"))
)
ROW: dict[str, Scalar] = {"age": 41.3, "city": "Lausanne", "member": True}
KEY = b"a key"


def test_what_no_policy_names_is_kept_as_served() -> None:
    assert logged(CONTRACT, {"age": "keep"}, KEY, ROW) == ROW


def test_nothing_is_logged_while_nobody_knows_what_the_policy_hides() -> None:
    assert logged(CONTRACT, None, KEY, ROW) == {}
    assert logged(CONTRACT, {}, KEY, ROW) == ROW


@pytest.mark.parametrize("mode", ["drop", "drpo", ""])
def test_what_is_dropped_is_not_there_and_an_unknown_mode_drops(mode: str) -> None:
    assert logged(CONTRACT, {"age": mode}, KEY, ROW) == {"city": "Lausanne", "member": True}


def test_a_hash_is_equal_for_equal_values_only_and_tells_nothing_without_the_key() -> None:
    first = logged(CONTRACT, {"city": "hash"}, KEY, ROW)
    assert first["city"] not in (None, "Lausanne")
    assert first == logged(CONTRACT, {"city": "hash"}, KEY, ROW)
    assert first["city"] != logged(CONTRACT, {"city": "hash"}, KEY, ROW | {"city": "Geneva"})["city"]
    assert first["city"] != logged(CONTRACT, {"city": "hash"}, b"another", ROW)["city"]


@pytest.mark.parametrize("value", [41.3, 40.0, -1e6, 1e30])
def test_a_binned_number_is_counted_in_the_bin_of_the_number_itself(value: float) -> None:
    binned = logged(CONTRACT, {"age": "bin"}, KEY, ROW | {"age": value})["age"]
    assert isinstance(binned, float)
    assert bin_of(AGE, binned) == bin_of(AGE, value)


def test_values_of_one_bin_cannot_be_told_apart() -> None:
    assert logged(CONTRACT, {"age": "bin"}, KEY, ROW | {"age": 40.0}) == logged(
        CONTRACT, {"age": "bin"}, KEY, ROW | {"age": 40.1}
    )


def test_a_missing_value_stays_missing() -> None:
    assert logged(CONTRACT, {"age": "hash", "city": "bin"}, KEY, {"age": None}) == {"age": None}


def test_the_row_that_is_scored_is_not_touched() -> None:
    logged(CONTRACT, {"age": "drop"}, KEY, ROW)
    assert ROW["age"] == 41.3
