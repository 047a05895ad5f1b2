"""How sure a training must be that noise alone buys no more of them than declared.

The guard asks that the excess is so many of its standard deviations above 0. How many trainings noise then buys was simulated
(`benchmarks/noise_guard.py`): periods in which nothing but independent noise moves the measured difference, a champion replaced by
one as good at each training. It depends on the price too: a dear training demands the evidence by itself. Between the simulated
prices and guards the logarithm of the rate is interpolated; beyond the dearest, the guard only falls.
"""

from __future__ import annotations

import itertools
import math
from typing import Final

GUARDS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""Standard deviations of the excess."""
RATES: Final[tuple[tuple[float, tuple[float, ...]], ...]] = (
    (0.5, (125.6, 98.6, 63.8, 30.8, 13.0, 6.1, 3.2, 2.1, 0.3)),
    (4.0, (41.8, 38.9, 32.5, 21.4, 12.2, 5.2, 4.0, 2.0, 0.3)),
    (16.0, (15.1, 14.3, 12.0, 8.4, 5.4, 3.1, 2.2, 1.2, 0.3)),
    (64.0, (4.6, 4.3, 3.8, 3.0, 1.8, 0.9, 0.7, 0.2, 0.1)),
)
"""By price, in standard deviations of a period's mean difference: trainings in 1,000 periods, by guard."""


def guard_sd(noise_trainings: float, *, price_sd: float) -> float:
    """The least guard under which noise buys at most so many trainings in 1,000 periods, at that price.

    >>> guard_sd(13.0, price_sd=0.1), guard_sd(200.0, price_sd=0.1), guard_sd(5.0, price_sd=64.0)
    (1.0, 0.0, 0.0)
    """
    rates = _rates(price_sd)
    wanted = math.log(noise_trainings)
    if wanted >= rates[0]:
        return 0.0
    for place in range(1, len(GUARDS)):
        if wanted >= rates[place]:
            share = (rates[place - 1] - wanted) / (rates[place - 1] - rates[place])
            return GUARDS[place - 1] + share * (GUARDS[place] - GUARDS[place - 1])
    # Fewer than simulated: on along the last steps.
    slope = (rates[-3] - rates[-1]) / (GUARDS[-1] - GUARDS[-3])
    return GUARDS[-1] + (rates[-1] - wanted) / slope


def _rates(price_sd: float) -> list[float]:
    """Logarithm of the rate by guard, at that price."""
    if not price_sd > RATES[0][0]:
        return [math.log(rate) for rate in RATES[0][1]]
    for (low, under), (high, over) in itertools.pairwise(RATES):
        if price_sd <= high:
            share = math.log(price_sd / low) / math.log(high / low)
            return [(1.0 - share) * math.log(a) + share * math.log(b) for a, b in zip(under, over, strict=True)]
    return [math.log(rate) for rate in RATES[-1][1]]
