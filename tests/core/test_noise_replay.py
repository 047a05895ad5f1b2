"""What noise would buy, on losses of which it is known whether anything changes in them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drift.noise_replay import LEAST_PERIODS, PERIODS, TooFewRows, in_order, noise_trainings, trade
from streams.policy import StalenessPolicy

POLICY = StalenessPolicy(retrain_cost="10 errors", noise_trainings=10.0)
ROWS = 50


def wrong(rate: float, rows: int, seed: int) -> NDArray[np.float64]:
    """Losses of a classifier that is wrong so often."""
    return np.random.default_rng(seed).binomial(1, rate, rows).astype(np.float64)


def calm(rows: int = 4_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return wrong(0.2, rows, 1), wrong(0.22, rows, 2)


def jumped(rows: int = 4_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The champion is worse in the second half; the challenger is not."""
    return np.concatenate([wrong(0.2, rows // 2, 1), wrong(0.4, rows - rows // 2, 3)]), wrong(0.22, rows, 2)


def test_order_is_destroyed_so_that_a_change_buys_nothing() -> None:
    """The same rows buy at once when they come in order, and no more than noise does when they are shuffled."""
    policy = msgspec.structs.replace(POLICY, retrain_cost="200 errors", noise_trainings=1.0)
    champion, challenger = jumped()
    assert noise_trainings(champion, challenger, rows_a_period=ROWS, policy=policy, shuffles=5).per_1000_periods <= 2.0
    ordered = in_order(champion, challenger, ["a"] * 4_000, rows_a_period=ROWS, policy=policy)
    assert (ordered.champions, ordered.bought) == (1, 1)
    assert ordered.waited_periods is not None
    assert 40 < ordered.waited_periods <= 70
    assert ordered.borne_errors > 0.0


def test_nothing_changes_and_nothing_is_bought_in_order() -> None:
    """The control of the jump."""
    champion, challenger = calm()
    policy = msgspec.structs.replace(POLICY, retrain_cost="200 errors", noise_trainings=1.0)
    ordered = in_order(champion, challenger, ["a"] * 4_000, rows_a_period=ROWS, policy=policy)
    assert (ordered.bought, ordered.waited_periods, ordered.periods) == (0, None, 80)


def test_the_guard_is_a_trade() -> None:
    """Fewer noise trainings are waited for longer. Declared rates are about what noise buys, where rows are independent."""
    champion, challenger = jumped()
    cheap, middle, dear = trade(champion, challenger, ["a"] * 4_000, rows_a_period=ROWS, policy=POLICY, ladder=(100.0, 10.0, 1.0))
    assert cheap.noise.per_1000_periods > middle.noise.per_1000_periods > dear.noise.per_1000_periods
    assert cheap.in_order.waited_periods is not None
    assert dear.in_order.waited_periods is not None
    assert cheap.in_order.waited_periods <= dear.in_order.waited_periods
    free = noise_trainings(*calm(), rows_a_period=ROWS, policy=POLICY)
    assert 2.0 < free.per_1000_periods < 30.0
    assert free.least <= free.per_1000_periods <= free.most


def test_the_same_seed_says_the_same() -> None:
    first, again, other = (
        noise_trainings(*calm(), rows_a_period=ROWS, policy=POLICY, shuffles=3, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_few_rows_are_dealt_again_and_too_few_are_refused() -> None:
    """A shuffle is long enough for a champion to age, however few rows there are."""
    rows = LEAST_PERIODS * ROWS
    told = noise_trainings(*calm(rows), rows_a_period=ROWS, policy=POLICY, shuffles=2)
    assert (told.periods, told.rows, told.block_rows) == (PERIODS[0], rows, ROWS // 4)
    with pytest.raises(TooFewRows, match=r"499 rows are 9\.98 periods of 50 rows; from 10 periods on"):
        noise_trainings(*calm(rows - 1), rows_a_period=ROWS, policy=POLICY)


def test_blocks_keep_what_comes_together() -> None:
    """Losses that come in runs make periods differ more than single rows would, and those differences stay."""
    runs = np.repeat(wrong(0.2, 200, 4), 25)
    zeros = np.zeros_like(runs)
    policy = msgspec.structs.replace(POLICY, retrain_cost="40 errors", noise_trainings=1_000.0)
    single, kept = (
        noise_trainings(runs, zeros, rows_a_period=ROWS, policy=policy, block_rows=block, shuffles=8).per_1000_periods
        for block in (1, 25)
    )
    assert kept > 2.0 * single


def test_what_a_policy_does_not_let_buy_is_still_told() -> None:
    """Under another trigger nothing is bought; the figure says what would be."""
    off = msgspec.structs.replace(POLICY, trigger="nothing")
    told = (noise_trainings(*calm(), rows_a_period=ROWS, policy=policy, shuffles=2) for policy in (POLICY, off))
    assert len(set(told)) == 1


def test_each_champion_is_followed_to_its_first_training() -> None:
    """Rows of a release that fill no period are passed over."""
    champion, challenger = calm()
    releases = ["a"] * 2_000 + ["b"] * 30 + ["c"] * 1_970
    dear = msgspec.structs.replace(POLICY, retrain_cost="inf errors")
    ordered = in_order(champion, challenger, releases, rows_a_period=ROWS, policy=dear)
    assert (ordered.champions, ordered.bought, ordered.periods) == (2, 0, 40 + 39)
    champion, challenger = jumped()
    assert in_order(champion, challenger, releases, rows_a_period=ROWS, policy=POLICY).periods < 40 + 39


@pytest.mark.parametrize(
    ("champion", "challenger", "rows", "said"),
    [
        (np.zeros(600), np.zeros(599), ROWS, "arrays of shape"),
        (np.full(600, np.nan), np.zeros(600), ROWS, "600 of 600 rows have a loss that is no number"),
        (np.zeros(600), np.zeros(600), 0, "rows_a_period must be >= 1, got 0"),
    ],
)
def test_rows_that_cannot_be_are_refused(
    champion: NDArray[np.float64], challenger: NDArray[np.float64], rows: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        noise_trainings(champion, challenger, rows_a_period=rows, policy=POLICY)


def test_a_champion_that_never_errs_buys_nothing() -> None:
    """No noise at all: no raise, and no training."""
    zeros = np.zeros(1_000)
    assert noise_trainings(zeros, zeros, rows_a_period=ROWS, policy=POLICY, shuffles=2).most == 0.0
