"""What a training costs, in the one unit that decisions are made in: errors (units of loss).

A person writes it directly, as money, or as compute time; money needs the value of one error, time the value of a second too. 0: whatever is surely better is bought. Infinite ('inf errors'): nothing is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

_COST: Final = re.compile(r"\s*(inf|\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
_ERRORS: Final = frozenset({"error", "errors"})
_SECONDS: Final = frozenset({"s", "second", "seconds"})
_CURRENCY: Final = re.compile(r"[A-Z]{3}")

DEAREST: Final = 1e300


class BadPrice(ValueError):
    """The cost of a training cannot be told in errors; the message says what is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainCost:
    """A cost as written: an amount and its unit: 'errors', 'seconds', or a currency's three letters."""

    amount: float
    unit: str


def parse_cost(text: str) -> RetrainCost:
    """The cost in this text. Raises BadPrice.

    >>> parse_cost("200 errors"), parse_cost("3.50 EUR").unit
    (RetrainCost(amount=200.0, unit='errors'), 'EUR')
    """
    matched = _COST.fullmatch(text)
    if matched is not None:
        amount, unit = float(matched[1]), matched[2]
        if unit in _ERRORS:
            return RetrainCost(amount=amount, unit="errors")
        if unit in _SECONDS:
            return RetrainCost(amount=amount, unit="seconds")
        if _CURRENCY.fullmatch(unit):
            return RetrainCost(amount=amount, unit=unit)
    raise BadPrice(
        f"retrain_cost {text!r} is not a cost; write '200 errors', '900 seconds' of computing, or an amount of money with its "
        "currency, as in '3.50 EUR'."
    )


def price_in_errors(text: str, *, error_value: float, second_value: float) -> float:
    """The cost in errors. `error_value`: money that one error costs; `second_value`: money that a second of computing costs.

    Raises BadPrice where the cost is in money or time and what it is weighed against is not given.

    >>> price_in_errors("3.50 EUR", error_value=0.05, second_value=0.0)
    70.0
    >>> price_in_errors("900 seconds", error_value=0.05, second_value=0.001)
    18.0
    """
    cost = parse_cost(text)
    if cost.unit == "errors":
        return cost.amount
    if not error_value > 0.0:
        raise BadPrice(f"retrain_cost is {text!r}: say with error_value what one error costs, in money.")
    if cost.unit != "seconds":
        return _rounded(cost.amount / error_value)
    if not second_value > 0.0:
        raise BadPrice(f"retrain_cost is {text!r}: say with second_value what a second of computing costs, in money.")
    return _rounded(cost.amount * second_value / error_value)


def told(errors: float) -> float:
    """A price as records tell it: an infinite one as the dearest there is, since JSON has no infinity."""
    return min(errors, DEAREST)


def _rounded(errors: float) -> float:
    return float(f"{errors:.9g}") if math.isfinite(errors) else errors
