"""What noise alone would buy: the staleness rule, replayed on a model's own row losses with their order destroyed.

Blocks of rows are shuffled and cut into periods. What is left of a change in time is nothing, so every training that the rule
buys there is bought by noise; the champion that it would bring loses like the one before. Blocks, not rows: rows that come
together depend on each other, and single rows would look less noisy than the model's periods are.
Pure: rows in, figures out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift import staleness
from drift.staleness import ChampionReplaced, PeriodMeasured, Staleness
from streams.policy import StalenessPolicy

Losses = NDArray[np.float64]

LADDER: Final = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Values of `noise_trainings` that `trade` compares."""
BLOCKS_A_PERIOD: Final = 4
LEAST_PERIODS: Final = 10
"""Of rows: fewer say nothing of how much periods differ by chance."""
PERIODS: Final = (200, 500)
"""Least and most of one shuffle: the rule weighs a champion's age, so that a short life would buy too little. Rows are dealt
again, in another order, until there are enough."""


class TooFewRows(ValueError):
    """Nothing can be told of so few rows; the message says how many there are and how many are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReplay:
    """Trainings in 1,000 periods in which nothing changes: the mean over the shuffles, the least and the most of one."""

    per_1000_periods: float
    least: float
    most: float
    shuffles: int
    periods: int
    """Of one shuffle."""
    rows: int
    """That were shuffled."""
    rows_a_period: int
    block_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InOrder:
    """The rule on the rows as they came, up to its first training under each champion that served.

    What the training would have changed cannot be replayed, so each champion is followed to the first one only.
    """

    champions: int
    bought: int
    """Champions under which a training would have been bought."""
    periods: int
    """In which they were followed."""
    waited_periods: float | None
    """Mean number of periods until it was bought, where it was; None: it never was."""
    borne_errors: float
    """Staleness that was borne up to there, as the rule estimates it; of all champions together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """Both sides of one setting of `noise_trainings`."""

    noise_trainings: float
    noise: NoiseReplay
    in_order: InOrder


def noise_trainings(
    champion: Losses,
    challenger: Losses,
    *,
    rows_a_period: int,
    policy: StalenessPolicy,
    shuffles: int = 20,
    block_rows: int = 0,
    seed: int = 0,
) -> NoiseReplay:
    """What noise buys under this policy, from the losses of champion and challenger on the same rows, in time order.

    Without a challenger, give zeros. `block_rows`: 0 is a quarter of a period. Raises TooFewRows.

    >>> losses = np.random.default_rng(1).binomial(1, 0.2, 3_000).astype(float)
    >>> cheap, dear = (StalenessPolicy(retrain_cost=cost, noise_trainings=1_000.0) for cost in ("1 errors", "1000 errors"))
    >>> many, none = (noise_trainings(losses, 0 * losses, rows_a_period=50, policy=policy, shuffles=4) for policy in (cheap, dear))
    >>> many.per_1000_periods > 20, none.per_1000_periods
    (True, 0.0)
    """
    differences = _differences(champion, challenger)
    _enough(len(differences), rows_a_period)
    block = min(block_rows or max(rows_a_period // BLOCKS_A_PERIOD, 1), len(differences))
    periods = min(max(len(differences) // rows_a_period, PERIODS[0]), PERIODS[1])
    generator = np.random.default_rng(seed)
    # A rule that buys nothing else would still say so: what the policy lets buy is another question.
    asked = msgspec.structs.replace(policy, trigger="staleness")
    rates = []
    for _ in range(shuffles):
        shuffled = _shuffled(differences, block, periods * rows_a_period, generator)
        bought = _bought(_periods(shuffled, rows_a_period), asked)
        rates.append(1_000.0 * bought / periods)
    return NoiseReplay(
        per_1000_periods=math.fsum(rates) / len(rates),
        least=min(rates),
        most=max(rates),
        shuffles=shuffles,
        periods=periods,
        rows=len(differences),
        rows_a_period=rows_a_period,
        block_rows=block,
    )


def in_order(
    champion: Losses, challenger: Losses, releases: Sequence[str], *, rows_a_period: int, policy: StalenessPolicy
) -> InOrder:
    """The rule on rows as they came, each with the release that answered. Raises TooFewRows."""
    differences = _differences(champion, challenger)
    _enough(len(differences), rows_a_period)
    asked = msgspec.structs.replace(policy, trigger="staleness")
    state, waited, borne, followed, champions = Staleness(), list[int](), 0.0, 0, 0
    for start, stop in _stretches(releases):
        measured = list(_periods(differences[start:stop], rows_a_period))
        if measured and champions:
            state, _ = staleness.advance(state, ChampionReplaced(), asked)
        champions += bool(measured)
        bought = False
        for served, period in enumerate(measured, start=1):
            state, (assessment,) = staleness.advance(state, period, asked)
            if bought:
                continue  # the account learns on what is usual here; what it would do next depends on a training nobody made
            followed += 1
            if assessment.buy:
                bought = True
                waited.append(served)
            if bought or served == len(measured):
                borne += max(assessment.numbers.get("lost_errors", 0.0), 0.0)
    return InOrder(
        champions=champions,
        bought=len(waited),
        periods=followed,
        waited_periods=math.fsum(waited) / len(waited) if waited else None,
        borne_errors=borne,
    )


def trade(
    champion: Losses,
    challenger: Losses,
    releases: Sequence[str],
    *,
    rows_a_period: int,
    policy: StalenessPolicy,
    ladder: Sequence[float] = LADDER,
    shuffles: int = 8,
    seed: int = 0,
) -> tuple[Traded, ...]:
    """For each setting: what noise would buy, and how long a real change would have waited. The same shuffles for all."""
    return tuple(
        Traded(
            noise_trainings=asked,
            noise=noise_trainings(
                champion,
                challenger,
                rows_a_period=rows_a_period,
                policy=msgspec.structs.replace(policy, noise_trainings=asked),
                shuffles=shuffles,
                seed=seed,
            ),
            in_order=in_order(
                champion,
                challenger,
                releases,
                rows_a_period=rows_a_period,
                policy=msgspec.structs.replace(policy, noise_trainings=asked),
            ),
        )
        for asked in ladder
    )


def _differences(champion: Losses, challenger: Losses) -> Losses:
    if champion.shape != challenger.shape or champion.ndim != 1:
        raise ValueError(f"both lose on the same rows: got arrays of shape {champion.shape} and {challenger.shape}.")
    differences = np.asarray(champion, dtype=np.float64) - np.asarray(challenger, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise ValueError(f"{int((~np.isfinite(differences)).sum())} of {len(differences)} rows have a loss that is no number.")
    return differences


def _enough(rows: int, rows_a_period: int) -> None:
    if rows_a_period < 1:
        raise ValueError(f"rows_a_period must be >= 1, got {rows_a_period}.")
    if rows < LEAST_PERIODS * rows_a_period:
        raise TooFewRows(
            f"{rows:,} rows are {rows / rows_a_period:.3g} periods of {rows_a_period:,} rows; from {LEAST_PERIODS} periods on it "
            "can be told what noise would buy."
        )


def _shuffled(differences: Losses, block: int, wanted: int, generator: np.random.Generator) -> Losses:
    """So many rows, dealt from the blocks in random order, again and again; blocks are cut elsewhere each time."""
    dealt, rows = [], 0
    while rows < wanted:
        turned = np.roll(differences, int(generator.integers(block)))
        whole = len(turned) // block * block
        blocks = generator.permutation(turned[:whole].reshape(-1, block))
        dealt.append(blocks.ravel())
        rows += whole
    return np.concatenate(dealt)[:wanted]


def _periods(differences: Losses, rows: int) -> Iterator[PeriodMeasured]:
    """Whole periods; rows that fill none are left out."""
    table = differences[: len(differences) // rows * rows].reshape(-1, rows)
    for mean, variance in zip(table.mean(axis=1).tolist(), table.var(axis=1).tolist(), strict=True):
        yield PeriodMeasured(rows=rows, difference=mean, row_variance=variance)


def _bought(measured: Iterator[PeriodMeasured], policy: StalenessPolicy) -> int:
    """Trainings when each brings a champion that loses like the one before."""
    state, count = Staleness(), 0
    for period in measured:
        state, (assessment,) = staleness.advance(state, period, policy)
        if assessment.buy:
            count += 1
            state, _ = staleness.advance(state, ChampionReplaced(), policy)
    return count


def _stretches(releases: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch of rows that one release answered."""
    start = 0
    for place in range(1, len(releases) + 1):
        if place == len(releases) or releases[place] != releases[start]:
            yield start, place
            start = place
