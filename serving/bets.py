"""Arithmetic of the canary's bets: each is a fair game when its null hypothesis holds, so wealth is evidence.

A bet's stake may depend on earlier evidence only. Increments are sums of `count * log(factor)`: evidence adds up however
it is cut. A wealth vector holds the log wealth of one bet per effect size; `log_e` mixes them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

WORSE_EFFECTS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""In margins. A factor of 2 apart costs at most 12 % of growth between two of them."""
WORSE_PRIOR: Final = (0.2, 0.3, 0.2, 0.15, 0.15)
NO_WORSE_EFFECTS: Final = (1.0, 1.5, 2.5)
"""Distances from the margin; 1 is 'equal', the alternative that is expected."""
NO_WORSE_PRIOR: Final = (0.6, 0.25, 0.15)
CAP: Final = 0.9
"""At most so much of the wealth is lost on one row: wealth stays positive."""

Wealth = tuple[float, ...]
NO_WORSE_START: Final[Wealth] = (0.0, 0.0, 0.0)
WORSE_START: Final[Wealth] = (0.0, 0.0, 0.0, 0.0, 0.0)


def plus(wealth: Wealth, gain: Wealth) -> Wealth:
    """Log wealth after one more increment."""
    return tuple(a + b for a, b in zip(wealth, gain, strict=True))


def log_sum(logs: Wealth, weights: tuple[float, ...]) -> float:
    """log of sum(weight * exp(log)), without overflow. A weight of 0 leaves its term out."""
    terms = [value + math.log(weight) for value, weight in zip(logs, weights, strict=True) if weight > 0]
    top = max(terms)
    return top + math.log(math.fsum(math.exp(term - top) for term in terms))


def log_e(wealth: Wealth) -> float:
    """Log e-value of a mixture over the effect sizes.

    >>> log_e(WORSE_START)
    0.0
    """
    value = log_sum(wealth, WORSE_PRIOR if len(wealth) == len(WORSE_PRIOR) else NO_WORSE_PRIOR)
    return 0.0 if abs(value) < 1e-12 else value


def pairs_worse(*, worse: int, better: int, margin: float, disagreement: float) -> Wealth:
    """Gain against 'not worse at all' from pairs that differ by +1 (`worse`) and -1 (`better`); equal pairs say nothing.

    The factor is 1 + stake * D, whose mean is 1 when E[D] = 0.
    """
    stakes = [min(effect * margin / disagreement, CAP) for effect in WORSE_EFFECTS]
    return tuple(worse * math.log1p(stake) + better * math.log1p(-stake) for stake in stakes)


def pairs_no_worse(*, n: int, worse: int, better: int, margin: float, disagreement: float) -> Wealth:
    """Gain against 'a margin worse': the factor is 1 - stake * (D - margin), whose mean is 1 when E[D] = margin."""
    stakes = [min(effect * margin / disagreement, CAP / (1 - margin)) for effect in NO_WORSE_EFFECTS]
    return tuple(
        worse * math.log1p(-stake * (1 - margin))
        + better * math.log1p(stake * (1 + margin))
        + (n - worse - better) * math.log1p(stake * margin)
        for stake in stakes
    )


def bounded_worse(*, difference: float, squared: float, margin: float, disagreement: float) -> Wealth:
    """As `pairs_worse` for differences anywhere in [-1, 1], of which only the sum and the sum of squares are known."""
    stakes = [min(effect * margin / disagreement, CAP) for effect in WORSE_EFFECTS]
    return tuple(stake * difference - _curvature(stake) * stake**2 * squared for stake in stakes)


def bounded_no_worse(*, n: int, difference: float, squared: float, margin: float, disagreement: float) -> Wealth:
    """As `pairs_no_worse` for differences anywhere in [-1, 1]."""
    gained = n * margin - difference
    gained_squared = squared - 2 * margin * difference + n * margin**2
    stakes = [min(effect * margin / disagreement, CAP / (1 - margin)) for effect in NO_WORSE_EFFECTS]
    return tuple(stake * gained - _curvature(stake * (1 - margin)) * stake**2 * gained_squared for stake in stakes)


def _curvature(loss: float) -> float:
    """c with log(1 + x) >= x - c * x**2 for all x >= -loss: what the sums cannot tell is counted against the bet."""
    return (-loss - math.log1p(-loss)) / loss**2


def split_worse(
    *, hits_new: float, rows_new: float, hits_old: float, rows_old: float, share: float, mean: float, margin: float
) -> Wealth:
    """Gain against 'the new arm is hit no more often', from binary outcomes of rows dealt by a known split.

    A row's score is its outcome less `mean` (any number known beforehand), over the probability of its arm and negative
    for the old arm: its mean is the difference between the arms whatever the difficulty of the rows does.
    """
    room = CAP * min(mean / share, (1 - mean) / (1 - share))
    stakes = [share * (1 - share) * min(effect * margin, room) / (mean * (1 - mean)) for effect in WORSE_EFFECTS]
    return tuple(
        hits_new * math.log1p(stake * (1 - mean) / share)
        + (rows_new - hits_new) * math.log1p(-stake * mean / share)
        + hits_old * math.log1p(-stake * (1 - mean) / (1 - share))
        + (rows_old - hits_old) * math.log1p(stake * mean / (1 - share))
        for stake in stakes
    )


@lru_cache(maxsize=256)  # asked twice of every record of evidence: for the verdict and for its numbers
def rows_needed(*, log_e_now: float, alpha: float, prior: float, growth: float, power: float = 0.8) -> float:
    """Rows until log E reaches log(1 / alpha) with this probability, when a row adds `growth` on average.

    First passage of a Brownian motion with drift `growth` and variance 2 * growth a row.
    """
    target = math.log(1 / alpha) + math.log(1 / prior) - log_e_now
    if target <= 0:
        return 0.0
    low, high = 1e-9, max(4 * target, 10.0)
    while _passed(high, target) < power:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _passed(middle, target) < power else (low, middle)
    return high / growth


def _passed(x: float, target: float) -> float:
    """Probability that the motion reached `target` by the time its mean is `x`."""
    direct = 0.5 * math.erfc(-(x - target) / (2 * math.sqrt(x)))
    z = (x + target) / (2 * math.sqrt(x))
    # exp(target) * Phi(-z * sqrt 2) without overflow; beyond z = 20 by the first term of its asymptotic series.
    scaled = math.exp(z * z) * math.erfc(z) if z < 20 else 1 / (z * math.sqrt(math.pi))
    return direct + 0.5 * math.exp(-((x - target) ** 2) / (4 * x)) * scaled
