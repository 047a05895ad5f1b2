"""The search is repeatable, bounded, and never ends worse than the policy's own parameters."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from streams.policy import TrainingPolicy
from trainer.recipes.xgboost_trees import BadParameters
from trainer.search import Found, NothingFound, search
from trainer.trial import TrialData, TrialRequest, TrialResult

POLICY = TrainingPolicy(
    parameters={"eta": 0.1, "rounds": 40}, search={"eta": (0.01, 0.5), "max_depth": (2, 8)}, trials=20, window_rows=1_000
)


class BowlPool:
    """Losses from a formula; `size` at once, finished in an order of its own."""

    def __init__(self, size: int = 4, finishing_seed: int = 0, broken: Sequence[int] = ()) -> None:
        self.size = size
        self.executor = "a formula"
        self.asked: list[TrialRequest] = []
        self._order = random.Random(finishing_seed)
        self._broken = broken

    def load(self, data: TrialData) -> None:
        """Needs no rows."""

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """Work in any order, answer in the order of asking."""
        assert len(trials) <= self.size
        assert deadline_s > 0
        done = {trial.number: self._loss(trial) for trial in self._order.sample(list(trials), len(trials))}
        self.asked.extend(trials)
        return [done[trial.number] for trial in trials]

    def close(self) -> None:
        """Nothing to stop."""

    def _loss(self, trial: TrialRequest) -> TrialResult:
        if trial.number in self._broken:
            return TrialResult(number=trial.number, fault="out of luck")
        loss = (trial.parameters["eta"] - 0.3) ** 2 + (trial.parameters["max_depth"] - 5) ** 2 / 100
        return TrialResult(number=trial.number, loss=loss, seconds=0.5)


def found(pool: BowlPool, policy: TrainingPolicy = POLICY, seed: int = 1) -> Found:
    """The search over 1,000 rows."""
    return search(policy=policy, rows=1_000, pool=pool, seed=seed, left_s=lambda: 10.0)


def test_the_same_seed_finds_the_same_however_the_trials_finish() -> None:
    """Results are told in the order of asking; another seed tries other parameters."""
    one, two, other = BowlPool(finishing_seed=1), BowlPool(finishing_seed=2), BowlPool()
    assert found(one) == found(two)
    assert one.asked == two.asked
    found(other, seed=2)
    assert other.asked != one.asked


def test_the_best_trial_is_taken() -> None:
    """Its loss is the least of all, and the sum of the trials' time is told."""
    pool = BowlPool()
    best = found(pool)
    assert best.loss == min(loss for loss in best.losses if loss is not None)
    assert best.loss is not None
    assert best.loss < 0.04
    assert len(best.losses) == len(pool.asked) == 20
    assert best.seconds == 10.0


def test_the_first_trial_is_the_policys_own_parameters() -> None:
    """A search ends no worse than no search; what is not searched stays fixed in every trial."""
    pool = BowlPool()
    found(pool)
    assert pool.asked[0].parameters == {"eta": 0.1, "rounds": 40, "max_depth": 4}
    assert {trial.parameters["rounds"] for trial in pool.asked} == {40}


def test_trials_are_scored_on_the_newest_fifth_that_they_are_not_fitted_on() -> None:
    """In time order: fit on the first 800, score on the last 200."""
    pool = BowlPool()
    found(pool)
    assert {(trial.fit_rows, trial.score_from, trial.score_to) for trial in pool.asked} == {(800, 800, 1_000)}


def test_searched_parameters_stay_in_their_range_and_whole_ones_whole() -> None:
    """Depth is a number of levels."""
    pool = BowlPool()
    found(pool)
    assert all(0.01 <= trial.parameters["eta"] <= 0.5 for trial in pool.asked)
    assert all(trial.parameters["max_depth"] in range(2, 9) for trial in pool.asked)


def test_one_trial_or_nothing_to_search_asks_no_worker() -> None:
    """The policy's parameters are taken as they are."""
    pool = BowlPool()
    for policy in (TrainingPolicy(parameters={"eta": 0.2}, search={"eta": (0.1, 0.3)}, trials=1), TrainingPolicy(trials=9)):
        assert found(pool, policy).parameters == policy.parameters
    assert pool.asked == []


def test_a_failed_trial_is_passed_over_and_all_failed_is_an_error_that_says_why() -> None:
    """A broken trial is no result, and no reason to stop."""
    assert found(BowlPool(broken=[0, 3])).losses[3] is None
    with pytest.raises(NothingFound, match="none of 20 trials made a model; the first said: out of luck"):
        found(BowlPool(broken=range(20)))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (TrainingPolicy(search={"depth": (1, 2)}, trials=3), "has no parameter depth; it has colsample_bytree"),
        (TrainingPolicy(search={"eta": (0.1, 3.0)}, trials=3), "eta must be between 0.0001 and 1, got 3"),
        (TrainingPolicy(search={"eta": (0.3, 0.1)}, trials=3), "the search of eta runs from 0.3 to 0.1"),
        (TrainingPolicy(parameters={"max_depth": 99}), "max_depth must be between 1 and 16, got 99"),
    ],
)
def test_parameters_that_do_not_exist_or_fit_are_refused(policy: TrainingPolicy, said: str) -> None:
    """With what was seen and what is wanted."""
    with pytest.raises(BadParameters, match=said):
        found(BowlPool(), policy)
