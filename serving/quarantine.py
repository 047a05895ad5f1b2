"""What serving does with spoilt rows: which of a route's rules it looks for, and what it answers in the model's place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from streams.contract import Contract, TargetContract
from streams.events import QuarantineRule, Scalar
from streams.quarantine import covers, flag_of, matches

FALLBACK: Final = "fallback"
"""Flag of a row that got the policy's answer in place of the model's."""

Flags = tuple[str, ...]


class UnusableFallback(ValueError):
    """The policy's fallback is no answer of this model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """What a flag on a row leads to. `fallback`: class index or number that such a row is answered with; None: the model answers."""

    enabled: bool = True
    fallback: float | None = None

    def holds(self, flags: Flags) -> bool:
        """Whether a row with these flags is kept out of everything but the log."""
        return bool(flags) and self.enabled

    def replaces(self, flags: Flags) -> bool:
        """Whether a row with these flags gets the fallback."""
        return self.fallback is not None and self.holds(flags)

    def told(self, flags: Sequence[Flags]) -> Sequence[Flags]:
        """The flags of all rows, with one more on those that get the fallback."""
        if self.fallback is None or not any(flags):
            return flags
        return [(*row, FALLBACK) if self.replaces(row) else row for row in flags]


class RowRules:
    """The open rules of one route, ready to be tried on rows of one contract."""

    def __init__(self, contract: Contract, rules: Sequence[QuarantineRule]) -> None:
        features = {feature.name: feature for feature in contract.features}
        self._rules = [
            (rule, features[rule.feature], flag_of(rule))
            for rule in rules
            if rule.until is None and rule.feature in features  # a rule may be older than the contract
        ]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def added(self, flags: Flags, row: dict[str, Scalar], at: datetime) -> Flags:
        """The flags of a row with those of the rules that it meets, each once."""
        for rule, feature, flag in self._rules:
            if flag not in flags and covers(rule, at) and matches(rule, feature, row.get(feature.name)):
                flags = (*flags, flag)
        return flags


def fallback_value(target: TargetContract, text: str) -> float | None:
    """The class index or number that the policy's words mean; None where it has none. Raises UnusableFallback.

    >>> fallback_value(TargetContract(name="y", task="classification", classes=("no", "yes")), "yes")
    1.0
    """
    if not text:
        return None
    if target.task == "classification":
        if text not in target.classes:
            raise UnusableFallback(f"quarantine.fallback {text!r} is none of the classes {', '.join(target.classes)}.")
        return float(target.classes.index(text))
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UnusableFallback(f"quarantine.fallback must be a finite number, got {text!r}.")
    return number
