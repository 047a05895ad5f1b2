"""What the evidence says of a candidate: one loss by shadow pairs, and two guards (failures, latency) that can only stop.

Rules. `Worse` when the mean of the three e-values reaches 1 / alpha_rollback: one budget for all looks and metrics.
`NoWorse` when the loss alone reaches 1 / alpha_promote now (not "once was"). `Inconclusive` says how many more labelled
rows would decide if the candidate were truly equal; `Unmeasured` says why nothing can be said. Guards never promote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import msgspec

from serving import bets
from serving.bets import NO_WORSE_START, WORSE_START, Wealth
from serving.evidence import ArmCounts, Increment
from streams.policy import CanaryPolicy

METRICS: Final = ("loss", "failures", "latency")
_BUDGET: Final = (1 / 3, 1 / 3, 1 / 3)
_START_ROWS: Final = 50.0
"""Weight of the starting beliefs below; they cost power when wrong, never validity."""
_START_DISAGREEMENT: Final = 0.15
_START_FAILED: Final = 0.01
_START_SLOW: Final = 0.05
"""By definition of the 95th percentile."""
_SLOW_MARGIN: Final = 0.05
_FADE: Final = 0.98
"""What a look leaves of the champion's older latencies."""
_BINS_PER_OCTAVE: Final = 16
_ENOUGH_LATENCIES: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWorse:
    """The candidate was proved less than the margin worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worse:
    """The candidate was proved worse on `metric`."""

    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inconclusive:
    """Neither yet: `needs` more labelled rows decide with 80 % if the candidate is truly equal."""

    needs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """Nothing can be said, and why."""

    why: str


Verdict = NoWorse | Worse | Inconclusive | Unmeasured


class Wealths(msgspec.Struct, frozen=True, kw_only=True):
    """All bets on one pair of releases, and what the next stakes are made from. Log wealth per effect size."""

    rows: int = 0
    """Labelled pairs."""
    squares: float = 0.0
    """Sum of squared differences of those pairs (for classifiers: how many differ)."""
    difference: float = 0.0
    loss_worse: Wealth = WORSE_START
    loss_no_worse: Wealth = NO_WORSE_START
    asked: int = 0
    failed: int = 0
    failures: Wealth = WORSE_START
    failures_in_step: Wealth = WORSE_START
    answered: float = 0.0
    slow: float = 0.0
    latency: Wealth = WORSE_START
    latency_in_step: Wealth = WORSE_START
    champion_latency: dict[int, float] = {}
    """Fading histogram of the champion's latency, log bins."""


def add_pairs(state: Wealths, increment: Increment, margin: float) -> Wealths:
    """Bet on newly labelled pairs, with the disagreement of earlier ones."""
    if increment.n == 0:
        return state
    disagreement = (state.squares + _START_DISAGREEMENT * _START_ROWS) / (state.rows + _START_ROWS)
    worse, better, n = increment.worse, increment.better, increment.n
    difference, squared = increment.difference, increment.squared
    if squared == worse + better and difference == worse - better:
        gain = bets.pairs_worse(worse=worse, better=better, margin=margin, disagreement=disagreement)
        against = bets.pairs_no_worse(n=n, worse=worse, better=better, margin=margin, disagreement=disagreement)
    else:
        gain = bets.bounded_worse(difference=difference, squared=squared, margin=margin, disagreement=disagreement)
        against = bets.bounded_no_worse(n=n, difference=difference, squared=squared, margin=margin, disagreement=disagreement)
    return msgspec.structs.replace(
        state,
        rows=state.rows + n,
        squares=state.squares + squared,
        difference=state.difference + difference,
        loss_worse=bets.plus(state.loss_worse, gain),
        loss_no_worse=bets.plus(state.loss_no_worse, against),
    )


def add_failures(state: Wealths, increment: Increment, margin: float) -> Wealths:
    """Bet on newly failed rows. Every arm is asked on every row, so failures come in pairs, as losses do.

    Rows on which both fail are not known as such and counted as two: that only lowers the wealth, as (1 + a)(1 - a) < 1.
    """
    new, old = increment.arm, increment.champion
    if new.asked > old.asked:
        return state  # the candidate was asked where the champion was not: no pairs
    share = (state.failed + _START_FAILED * _START_ROWS) / (state.asked + _START_ROWS)
    gain = bets.pairs_worse(worse=new.failures, better=old.failures, margin=margin, disagreement=share)
    return msgspec.structs.replace(
        state,
        asked=state.asked + old.asked,
        failed=state.failed + new.failures + old.failures,
        failures=bets.plus(state.failures, gain),
        failures_in_step=bets.plus(state.failures_in_step, gain),
    )


def add_latency(state: Wealths, increment: Increment, *, share: float, ratio: float) -> Wealths:
    """Bet on rows slower than the champion's earlier 95th percentile; the candidate is allowed `ratio` times that.

    Only rows dealt by the split count (0 < share < 1): in shadow an arm answers nothing.
    """
    new, old = increment.arm, increment.champion
    known = math.fsum(state.champion_latency.values())
    after = msgspec.structs.replace(state, champion_latency=_faded(state.champion_latency, old))
    if not 0.0 < share < 1.0 or known < _ENOUGH_LATENCIES:
        return after
    limit = _quantile_bin(state.champion_latency, 0.95 * known)
    shift = round(_BINS_PER_OCTAVE * math.log2(ratio))
    slow_new, rows_new = _slower(new, limit + shift), sum(new.latency.values())
    slow_old, rows_old = _slower(old, limit), sum(old.latency.values())
    mean = (state.slow + _START_SLOW * _START_ROWS) / (state.answered + _START_ROWS)
    gain = bets.split_worse(
        hits_new=slow_new,
        rows_new=rows_new,
        hits_old=slow_old,
        rows_old=rows_old,
        share=share,
        mean=mean,
        margin=_SLOW_MARGIN,
    )
    return msgspec.structs.replace(
        after,
        answered=state.answered + rows_new + rows_old,
        slow=state.slow + slow_new + slow_old,
        latency=bets.plus(state.latency, gain),
        latency_in_step=bets.plus(state.latency_in_step, gain),
    )


def next_step(state: Wealths) -> Wealths:
    """A new step begins: what depends on load is also judged afresh; the loss goes on."""
    return msgspec.structs.replace(state, failures_in_step=WORSE_START, latency_in_step=WORSE_START)


def judge(state: Wealths, policy: CanaryPolicy, *, stage: int = 0, stages: int = 1) -> Verdict:
    """The verdict after `stage` of `stages` (0 is shadow, or the bake alone)."""
    logs = _log_e_values(state, stage, stages)
    if bets.log_sum(logs, _BUDGET) >= -math.log(policy.alpha_rollback):
        return Worse(metric=METRICS[logs.index(max(logs))])
    if state.rows == 0:
        return Unmeasured(why="no row scored by both releases has its label yet")
    proved = bets.log_e(state.loss_no_worse)
    if proved >= -math.log(policy.alpha_promote):
        return NoWorse()
    return Inconclusive(needs=_needs(state, policy, proved))


def numbers_of(state: Wealths, policy: CanaryPolicy, *, stage: int = 0, stages: int = 1) -> dict[str, float]:
    """The figures behind a verdict, nine significant digits."""
    proved = bets.log_e(state.loss_no_worse)
    figures = {
        "labelled": float(state.rows),
        "loss_difference": state.difference / state.rows if state.rows else 0.0,
        "disagreement": state.squares / state.rows if state.rows else 0.0,
        "log_e_no_worse": proved,
        "log_e_needed": -math.log(policy.alpha_promote),
        "needs": float(_needs(state, policy, proved)),
        "failed": float(state.failed),
        "slow_share": state.slow / state.answered if state.answered else 0.0,
    }
    for metric, value in zip(METRICS, _log_e_values(state, stage, stages), strict=True):
        figures[f"log_e_worse_{metric}"] = value
    return {name: float(f"{value:.9g}") for name, value in figures.items()}


def _log_e_values(state: Wealths, stage: int, stages: int) -> Wealth:
    # Three quarters on all steps together, one quarter on the present one alone: a candidate that fails only under
    # load is found although it did well before. Steps to come are worth 1, finished ones are dropped: still an e-value.
    def mixed(overall: Wealth, in_step: Wealth) -> float:
        to_come = stages - 1 - stage
        logs = (bets.log_e(overall), bets.log_e(in_step), 0.0)
        return bets.log_sum(logs, (0.75, 0.25 / stages, 0.25 * to_come / stages))

    return (
        bets.log_e(state.loss_worse),
        mixed(state.failures, state.failures_in_step),
        mixed(state.latency, state.latency_in_step),
    )


def _needs(state: Wealths, policy: CanaryPolicy, proved: float) -> int:
    disagreement = (state.squares + _START_DISAGREEMENT * _START_ROWS) / (state.rows + _START_ROWS)
    growth = 0.5 * policy.margin**2 / disagreement
    prior = bets.NO_WORSE_PRIOR[0]
    return math.ceil(bets.rows_needed(log_e_now=proved, alpha=policy.alpha_promote, prior=prior, growth=growth))


def _faded(histogram: dict[int, float], arm: ArmCounts) -> dict[int, float]:
    faded = {bin_: weight * _FADE for bin_, weight in histogram.items() if weight * _FADE > 1e-6}
    for bin_, count in arm.latency.items():
        faded[bin_] = faded.get(bin_, 0.0) + count
    return dict(sorted(faded.items()))


def _quantile_bin(histogram: dict[int, float], rank: float) -> int:
    seen = 0.0
    for bin_, weight in sorted(histogram.items()):
        seen += weight
        if seen >= rank:
            return bin_
    return max(histogram)


def _slower(arm: ArmCounts, limit: int) -> int:
    return sum(count for bin_, count in arm.latency.items() if bin_ > limit)
