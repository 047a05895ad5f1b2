"""What can be done about staleness, and what each is worth: a training, or serving the challenger frozen as it is now.

A champion loses, beyond a fresh one of its own kind, the excess e. What it loses beyond a fresh one of the other kind is that and
the distance between the two kinds (m of the one less m of the other), known from the lives of both. The first frozen challenger
is its own reference: its distance is 0, up to the luck of a fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from drift import noise_guard
from drift.excess_filter import Excess

Name = Literal["training", "challenger"]

AHEAD: Final = 0.8
"""Below 1, because the world may change before the next life ends."""
LOST: Final = 1.5
_LEAST_NOISE: Final = 1e-18


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What the champion's life has shown: periods served, excess now and in the period to come, and what was lost."""

    age: int
    last: float
    last_sd: float
    coming: float
    lost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing to buy, all in mean loss a row times periods."""

    name: Name
    excess: float
    """Over a fresh one of that kind, in the period to come."""
    ahead: float
    lost: float
    price: float
    guard_sd: float
    sure: bool
    """The present excess is beyond the guard."""
    worth: float
    """What a next life like this one would save by it, less its price."""

    @property
    def pays(self) -> bool:
        """Marginal value, or ski rental."""
        return self.excess > 0.0 and (self.ahead >= self.price or self.lost >= LOST * self.price)


def option(name: Name, excess: Excess, life: Life, *, price: float, noise_trainings: float) -> Option:
    """What buying it now would come to."""
    own_kind = (name == "challenger") == excess.frozen
    distance, sd = (0.0, life.last_sd) if own_kind else excess.beyond_other_kind()
    lost = life.lost + distance * life.age
    coming = life.coming + distance
    guard = noise_guard.guard_sd(noise_trainings, price_sd=price / math.sqrt(max(excess.noise, _LEAST_NOISE)))
    return Option(
        name=name,
        excess=coming,
        ahead=AHEAD * life.age * coming - lost,
        lost=lost,
        price=price,
        guard_sd=guard,
        sure=life.last + distance >= guard * sd,
        worth=AHEAD * life.age * coming - price,
    )
