"""Candidates that may be tried on live traffic, and those that may not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.contract import TargetContract
from trainer.gate import GateVerdict, judge

CLASSES = TargetContract(name="y", task="classification", classes=("0", "1"))
ACTUAL = np.tile([0.0, 1.0], 100)


def wrong_on(places: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Right everywhere but there."""
    return np.where(places, 1.0 - ACTUAL, ACTUAL)


def first(number: int) -> NDArray[np.bool_]:
    """The first so many rows."""
    return np.arange(200) < number


def verdict(candidate: NDArray[np.float64], champion: NDArray[np.float64], margin: float = 0.05) -> GateVerdict:
    """Of the gate on 200 rows."""
    return judge(target=CLASSES, actual=ACTUAL, candidate=candidate, champion=champion, margin=margin)


def test_a_better_candidate_passes_with_its_numbers() -> None:
    """Both losses and their difference are told."""
    said = verdict(wrong_on(first(20)), wrong_on(first(60)))
    assert said.passed
    assert said.measured
    assert said.numbers["gate_candidate_loss"] == 0.1
    assert said.numbers["gate_champion_loss"] == 0.3
    assert abs(said.numbers["gate_difference"] + 0.2) < 1e-12


def test_a_candidate_may_lose_the_margin_and_no_more() -> None:
    """Ten more wrong rows of 200 are .05; eleven are too many."""
    assert verdict(wrong_on(first(10)), wrong_on(first(0))).passed
    refused = verdict(wrong_on(first(11)), wrong_on(first(0)))
    assert not refused.passed
    assert "loses 0.055 more than the champion on 200 newest rows, 0.050 is allowed" in refused.why


def test_a_candidate_that_gives_up_a_slice_is_refused_though_it_is_better_on_the_whole() -> None:
    """Wrong on half of class 1, which the champion knew, right on all of class 0, which it did not."""
    candidate = wrong_on((ACTUAL == 1.0) & (np.arange(200) % 4 == 1))
    champion = wrong_on(ACTUAL == 0.0)
    said = verdict(candidate, champion)
    assert said.numbers["gate_difference"] < 0
    assert not said.passed
    assert "on class 1 (100 rows)" in said.why


def test_an_uneven_slice_within_its_wider_margin_passes() -> None:
    """A world that changed takes from one slice what it gives to another."""
    candidate = wrong_on((ACTUAL == 1.0) & (np.arange(200) % 20 == 1))
    assert verdict(candidate, wrong_on((ACTUAL == 0.0) & first(40))).passed


def test_too_few_rows_prove_nothing_and_say_so() -> None:
    """Shadow decides; the verdict is not a pass by evidence."""
    said = judge(target=CLASSES, actual=ACTUAL[:29], candidate=1.0 - ACTUAL[:29], champion=ACTUAL[:29], margin=0.05)
    assert said.passed
    assert not said.measured
    assert "only 29 holdout rows" in said.why


def test_an_output_that_is_not_finite_is_refused() -> None:
    """However few rows there are."""
    said = judge(target=CLASSES, actual=ACTUAL[:5], candidate=np.array([0, 1, np.nan, 1, 0]), champion=ACTUAL[:5], margin=0.05)
    assert not said.passed
    assert "not finite on 1 of 5" in said.why


def test_regression_is_judged_by_the_contracts_loss_and_by_thirds() -> None:
    """|error| / scale, cut at 1."""
    target = TargetContract(name="y", task="regression", scale=10.0)
    actual = np.linspace(0, 100, 120)
    said = judge(target=target, actual=actual, candidate=actual + 1.0, champion=actual + 2.0, margin=0.05)
    assert said.passed
    assert abs(said.numbers["gate_candidate_loss"] - 0.1) < 1e-9
    assert abs(said.numbers["gate_difference[high third]"] + 0.1) < 1e-9
