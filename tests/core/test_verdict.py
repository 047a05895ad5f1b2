"""The canary's bets against reference arithmetic, and the error rates that they promise, by replay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from serving import bets, verdict
from serving.evidence import ArmCounts, Increment
from serving.verdict import Inconclusive, NoWorse, Unmeasured, Wealths, Worse
from streams.policy import CanaryPolicy

POLICY = CanaryPolicy(margin=0.06)
REPLAYS = 800


def pairs(n: int, worse: int, better: int) -> Increment:
    """Newly labelled rows of a classifier."""
    return Increment(
        n=n,
        worse=worse,
        better=better,
        difference=float(worse - better),
        squared=float(worse + better),
        arm=ArmCounts(latency={}),
        champion=ArmCounts(latency={}),
    )


def exposure(candidate: ArmCounts, champion: ArmCounts) -> Increment:
    """Rows answered, without labels."""
    return Increment(n=0, worse=0, better=0, difference=0.0, squared=0.0, arm=candidate, champion=champion)


def test_gains_equal_the_reference_arithmetic() -> None:
    """Each bet's log wealth, computed apart from this code by the published arithmetic."""
    worse = bets.pairs_worse(worse=30, better=20, margin=0.02, disagreement=0.15)
    assert worse == pytest.approx((0.5562982, 0.89287742, 0.88856478, -2.4194806, -26.79608527), abs=1e-7)
    no_worse = bets.pairs_no_worse(n=400, worse=30, better=20, margin=0.02, disagreement=0.15)
    assert no_worse == pytest.approx((-0.71850184, -1.43448591, -3.68646109), abs=1e-7)
    split = bets.split_worse(hits_new=20, rows_new=100, hits_old=40, rows_old=900, share=0.1, mean=0.05, margin=0.05)
    assert split == pytest.approx((5.72218941, 9.25493989, 12.70959655, 11.19969828, -24.93304489), abs=1e-7)


@pytest.mark.parametrize(
    ("log_e", "rows"), [(0.0, 233.952076), (1.0, 169.571947), (2.9, 36.5585575), (-5.0, 531.312977), (-300.0, 15181.8077)]
)
def test_rows_needed_equal_the_reference_plan(log_e: float, rows: float) -> None:
    """First passage of a Brownian motion, also from far below."""
    needed = bets.rows_needed(log_e_now=log_e, alpha=0.05, prior=0.6, growth=0.5 * 0.08**2 / 0.15)
    assert needed == pytest.approx(rows, rel=1e-6)


def test_no_rows_are_needed_once_it_is_proved() -> None:
    """Beyond the threshold the plan is empty."""
    assert bets.rows_needed(log_e_now=4.0, alpha=0.05, prior=0.6, growth=0.01) == 0.0


@pytest.mark.parametrize("disagreement", [0.02, 0.15, 0.9])
@pytest.mark.parametrize("believed", [0.01, 0.15, 1.0])
def test_a_pair_is_a_fair_game_at_the_null(disagreement: float, believed: float) -> None:
    """The mean of a row's factor is 1 at the null, whatever was believed of the disagreement."""
    margin = 0.01
    up = np.exp(bets.pairs_worse(worse=1, better=0, margin=margin, disagreement=believed))
    down = np.exp(bets.pairs_worse(worse=0, better=1, margin=margin, disagreement=believed))
    assert disagreement / 2 * (up + down) + (1 - disagreement) == pytest.approx(1.0)
    up, down, same = (
        np.exp(bets.pairs_no_worse(n=1, worse=w, better=b, margin=margin, disagreement=believed))
        for w, b in ((1, 0), (0, 1), (0, 0))
    )
    worse, better = (disagreement + margin) / 2, (disagreement - margin) / 2
    assert worse * up + better * down + (1 - disagreement) * same == pytest.approx(1.0)


@pytest.mark.parametrize(("share", "mean", "rate"), [(0.1, 0.05, 0.05), (0.1, 0.05, 0.6), (0.5, 0.3, 0.01), (0.9, 0.01, 0.2)])
def test_a_split_row_is_a_fair_game_at_the_null(share: float, mean: float, rate: float) -> None:
    """The mean of a row's factor is 1 when both arms are hit equally often, however wrong the belief of how often."""

    def factor(**counts: int) -> np.ndarray:
        empty = {"hits_new": 0, "rows_new": 0, "hits_old": 0, "rows_old": 0}
        return np.exp(bets.split_worse(**{**empty, **counts}, share=share, mean=mean, margin=0.05))

    new = rate * factor(hits_new=1, rows_new=1) + (1 - rate) * factor(rows_new=1)
    old = rate * factor(hits_old=1, rows_old=1) + (1 - rate) * factor(rows_old=1)
    assert share * new + (1 - share) * old == pytest.approx(1.0)


def test_bounded_differences_never_win_more_than_the_exact_bet() -> None:
    """From sums alone the wealth is a lower bound of the wealth that the single differences would give."""
    rng = np.random.default_rng(7)
    for scale in (0.1, 0.5, 1.0):
        values = np.clip(rng.normal(0.02, scale, 400), -1, 1)
        difference, squared = float(values.sum()), float((values**2).sum())
        bounded = bets.bounded_worse(difference=difference, squared=squared, margin=0.05, disagreement=0.2)
        stakes = [min(effect * 0.05 / 0.2, bets.CAP) for effect in bets.WORSE_EFFECTS]
        assert all(b <= np.log1p(s * values).sum() + 1e-9 for s, b in zip(stakes, bounded, strict=True))
        against = bets.bounded_no_worse(n=400, difference=difference, squared=squared, margin=0.05, disagreement=0.2)
        stakes = [min(effect * 0.05 / 0.2, bets.CAP / 0.95) for effect in bets.NO_WORSE_EFFECTS]
        assert all(b <= np.log1p(-s * (values - 0.05)).sum() + 1e-9 for s, b in zip(stakes, against, strict=True))


def test_regression_losses_are_judged_too() -> None:
    """Differences that are not 0 or 1 prove an equal candidate no worse, more slowly."""
    state = Wealths()
    for _ in range(60):
        one = Increment(
            n=20, worse=10, better=10, difference=0.01, squared=0.4, arm=ArmCounts(latency={}), champion=ArmCounts(latency={})
        )
        state = verdict.add_pairs(state, one, POLICY.margin)
    assert isinstance(verdict.judge(state, POLICY), NoWorse)


def replay(rng: np.random.Generator, difference: float, rows: int, look: int) -> set[str]:
    """Verdicts given at any look in one replay of pairs whose difficulty swings and jumps."""
    state, given = Wealths(), set()
    for begin in range(0, rows, look):
        disagreement = (0.12 + 0.08 * math.sin(begin / 300)) + (0.15 if begin > rows / 2 else 0.0)
        up = (disagreement + difference) / 2
        worse, better, _ = rng.multinomial(look, [up, disagreement - up, 1 - disagreement])
        state = verdict.add_pairs(state, pairs(look, int(worse), int(better)), POLICY.margin)
        given.add(type(verdict.judge(state, POLICY)).__name__)
        if "Worse" in given or "NoWorse" in given:
            break
    return given


@pytest.mark.parametrize("look", [10, 50])
def test_an_equal_candidate_is_called_worse_within_the_budget(look: int) -> None:
    """Looking at every increment, 5 % is shared by three metrics: the loss alone errs in at most 1.7 %."""
    rng = np.random.default_rng(look)
    state_runs = [replay(rng, 0.0, 1_000, look) for _ in range(REPLAYS)]
    assert sum("Worse" in given for given in state_runs) / REPLAYS <= 0.05 / 3 + 0.01


@pytest.mark.parametrize("look", [10, 50, 250])
def test_a_candidate_at_the_margin_is_promoted_within_the_budget(look: int) -> None:
    """At most 5 % (and the sampling error of this test) however the evidence is cut."""
    rng = np.random.default_rng(100 + look)
    runs = [replay(rng, POLICY.margin, 1_500, look) for _ in range(REPLAYS)]
    assert sum("NoWorse" in given for given in runs) / REPLAYS <= 0.05 + 0.015


def test_power_is_what_the_plan_says() -> None:
    """Of equal candidates, about 80 % are proved no worse within the rows first announced."""
    rng = np.random.default_rng(3)
    announced = verdict.judge(verdict.add_pairs(Wealths(), pairs(1, 0, 0), POLICY.margin), POLICY)
    assert isinstance(announced, Inconclusive)
    done = 0
    for _ in range(600):
        state = Wealths()
        for _ in range(announced.needs // 10):
            worse, better, _ = rng.multinomial(10, [0.075, 0.075, 0.85])
            state = verdict.add_pairs(state, pairs(10, int(worse), int(better)), POLICY.margin)
            if isinstance(verdict.judge(state, POLICY), NoWorse):
                done += 1
                break
    assert 0.7 <= done / 600 <= 0.95


def test_stakes_come_from_the_past_only() -> None:
    """The gain of an increment is a function of what was known before it: replacing the increment does not move the stake."""
    before = verdict.add_pairs(Wealths(), pairs(100, 10, 12), POLICY.margin)
    one = verdict.add_pairs(before, pairs(10, 1, 0), POLICY.margin)
    ten = verdict.add_pairs(before, pairs(10, 10, 0), POLICY.margin)
    gains = [(a - b) for a, b in zip(one.loss_worse, before.loss_worse, strict=True)]
    assert [a - b for a, b in zip(ten.loss_worse, before.loss_worse, strict=True)] == pytest.approx([10 * gain for gain in gains])


def test_without_labels_nothing_is_said() -> None:
    """Unmeasured is its own value, with the reason."""
    found = verdict.judge(Wealths(), POLICY)
    assert isinstance(found, Unmeasured)
    assert "label" in found.why


def test_a_failing_candidate_is_worse_without_any_label() -> None:
    """Twenty failures in a row where the champion had none."""
    state = Wealths()
    for _ in range(20):
        arms = ArmCounts(asked=1, failures=1, latency={}), ArmCounts(asked=1, answered=1, latency={})
        state = verdict.add_failures(state, exposure(*arms), POLICY.failure_margin)
    assert verdict.judge(state, POLICY) == Worse(metric="failures")


def test_equal_failures_stop_nothing() -> None:
    """Both arms failing in 5 % of 40 x 500 rows is no evidence: at most 1.7 % of replays, whether they fail together or apart."""
    rng = np.random.default_rng(11)
    stopped = 0
    for _ in range(300):
        state = Wealths()
        for _ in range(40):
            new, old = rng.binomial(500, 0.05, 2)
            arms = (
                ArmCounts(asked=500, failures=int(new), latency={}),
                ArmCounts(asked=500, answered=500, failures=int(old), latency={}),
            )
            state = verdict.add_failures(state, exposure(*arms), POLICY.failure_margin)
            if isinstance(verdict.judge(state, POLICY), Worse):
                stopped += 1
                break
    assert stopped / 300 <= 0.05 / 3 + 0.02


def latencies(rng: np.random.Generator, rows: int, factor: float) -> dict[int, int]:
    """Log-normal latencies around 300 us, in log bins."""
    bins = np.round(16 * np.log2(300 * factor * np.exp(rng.normal(0, 0.5, rows)))).astype(int)
    values, counts = np.unique(bins, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def latency_verdict(rng: np.random.Generator, factor: float, share: float = 0.5) -> bool:
    """Whether 30 looks of 100 rows at a share call the candidate slow."""
    state = verdict.add_latency(
        Wealths(), exposure(ArmCounts(latency={}), ArmCounts(latency=latencies(rng, 300, 1.0))), share=0.0, ratio=2.0
    )
    for _ in range(30):
        rows = int(rng.binomial(100, share))
        arms = ArmCounts(latency=latencies(rng, rows, factor)), ArmCounts(latency=latencies(rng, 100 - rows, 1.0))
        state = verdict.add_latency(state, exposure(*arms), share=share, ratio=2.0)
        if verdict.judge(state, POLICY) == Worse(metric="latency"):
            return True
    return False


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_slow_candidate_is_stopped_and_an_equal_one_is_not(share: float) -> None:
    """Six times as slow is found; as slow as the champion, or exactly the allowed ratio slower, is not."""
    rng = np.random.default_rng(5)
    assert sum(latency_verdict(rng, 6.0, share) for _ in range(20)) >= 19
    assert sum(latency_verdict(rng, 1.0, share) for _ in range(60)) == 0
    assert sum(latency_verdict(rng, 2.0, share) for _ in range(60)) <= 4


def test_harm_that_begins_in_a_later_step_is_not_bought_off_by_earlier_calm() -> None:
    """After 5,000 rows on which only the champion failed now and then, a candidate that fails under load is still found."""
    state = Wealths()
    for _ in range(50):
        arms = ArmCounts(asked=100, latency={}), ArmCounts(asked=100, answered=100, failures=1, latency={})
        state = verdict.add_failures(state, exposure(*arms), POLICY.failure_margin)
    state = verdict.next_step(state)
    for _ in range(12):
        arms = ArmCounts(asked=10, failures=5, latency={}), ArmCounts(asked=10, answered=10, latency={})
        state = verdict.add_failures(state, exposure(*arms), POLICY.failure_margin)
    assert verdict.judge(state, POLICY, stage=1, stages=2) == Worse(metric="failures")


def test_numbers_are_rounded_to_nine_digits() -> None:
    """What is shown and recorded does not hang on the last bits of another machine's arithmetic."""
    numbers = verdict.numbers_of(verdict.add_pairs(Wealths(), pairs(7, 1, 2), POLICY.margin), POLICY)
    assert numbers["labelled"] == 7.0
    assert all(value == float(f"{value:.9g}") for value in numbers.values())
