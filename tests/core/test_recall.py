"""Which archived release is called back, from losses on the same rows: proved over blocks, and worth it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.recall import BLOCKS, RecallVerdict, Tried, chance_of, judge

ROWS = 96
"""Blocks of six."""


def wrong(share: float, rows: int = ROWS, seed: int = 1) -> NDArray[np.float64]:
    """Losses of a model that errs so often, row by row by chance."""
    return (np.random.default_rng(seed).random(rows) < share).astype(np.float64)


def tried(release: str, losses: NDArray[np.float64], champion: NDArray[np.float64]) -> Tried:
    """A release beside the champion."""
    return Tried(release=release, losses=losses, champion=champion)


def verdict(*releases: Tried, alpha: float = 0.01, least_gain: float = 0.05) -> RecallVerdict:
    """Of so many rows."""
    return judge(releases, rows=ROWS, alpha=alpha, least_gain=least_gain)


def test_a_release_whose_world_is_back_is_called() -> None:
    """With its loss, the champion's, the rows and the chance, by release."""
    said = verdict(tried("old", wrong(0.2), wrong(0.7, seed=2)))
    assert said.release == "old"
    assert said.numbers["recall_rows[old]"] == ROWS
    assert said.numbers["recall_p[old]"] < 0.001
    gain = said.numbers["recall_champion_loss[old]"] - said.numbers["recall_loss[old]"]
    assert gain == pytest.approx(said.numbers["recall_gain[old]"])


def test_of_several_the_one_that_gains_most_is_called() -> None:
    """Order of trial does not matter."""
    champion = wrong(0.8, seed=2)
    releases = [tried("good", wrong(0.2), champion), tried("best", wrong(0.05), champion)]
    assert verdict(*releases).release == verdict(*reversed(releases)).release == "best"


def test_one_that_is_as_good_as_the_champion_is_not() -> None:
    """The reason says how sure it would have to be."""
    said = verdict(tried("old", wrong(0.3), wrong(0.3, seed=2)))
    assert said.release == ""
    assert "not proved better" in said.why


def test_rows_of_one_burst_are_one_block_and_prove_nothing() -> None:
    """Forty rows in a row on which the champion erred, all from one hour: as rows they would be proof enough."""
    burst = np.where(np.arange(ROWS) < 40, 1.0, 0.0)
    long_blocks = chance_of(burst, 40)
    by_row = 0.5**40
    assert by_row < 1e-11
    assert long_blocks == 0.5
    assert verdict(tried("old", np.zeros(640), np.where(np.arange(640) < 40, 1.0, 0.0))).release == ""


def test_a_gain_that_the_gate_takes_for_none_is_none_here() -> None:
    """One row in each block, always: sure, and .167 a row."""
    champion = np.tile([1.0, 0, 0, 0, 0, 0], BLOCKS)
    release = tried("old", np.zeros(ROWS), champion)
    assert verdict(release, least_gain=0.16).release == "old"
    said = verdict(release, least_gain=0.17)
    assert said.release == ""
    assert "better by 0.167, 0.170 is asked for" in said.why


def test_the_more_releases_are_tried_the_surer_each_must_be() -> None:
    """Eight blocks of eight: a chance of 1 in 256, enough for one release and not for five."""
    sure = tried("old", np.zeros(48), np.ones(48))
    assert verdict(sure).release == "old"
    others = [tried(f"other-{number}", np.ones(48), np.ones(48)) for number in range(4)]
    assert verdict(sure, *others).release == ""


def test_too_few_rows_that_neither_was_trained_on_call_nothing() -> None:
    """None at all, and three blocks."""
    nothing = np.zeros(0)
    said = verdict(tried("new", nothing, nothing), tried("newer", np.zeros(18), np.ones(18)))
    assert said.release == ""
    assert "new has no rows that neither it nor the champion was trained on" in said.why
    assert said.numbers["recall_p[newer]"] == 0.125


def test_nothing_to_try_says_so_and_what_was_passed_over_is_told() -> None:
    """A sentence in any case."""
    assert judge([], rows=ROWS, alpha=0.01, least_gain=0.0).why == "no release is called back: none to try"
    assert "gone is passed over" in judge([], rows=ROWS, alpha=0.01, least_gain=0.0, passed_over=["gone is passed over"]).why


@pytest.mark.parametrize("block", [1, 6, 12])
def test_what_is_no_better_is_seldom_called(block: int) -> None:
    """Rows that are alike within a block, however long: of 300 histories at 5 %, no more than that and three standard errors."""
    generator = np.random.default_rng(7)
    called = 0
    for _ in range(300):
        gains = np.repeat(generator.choice([-1.0, 0.0, 1.0], BLOCKS), block)
        called += chance_of(gains, block) <= 0.05
    assert called / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
