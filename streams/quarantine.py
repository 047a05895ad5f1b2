"""Which rows a quarantine rule means: one answer for serving, which flags them, and for datasets, which leave them out."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from streams.contract import FeatureContract, bin_of, violation
from streams.events import QuarantineRule, Scalar


def matches(rule: QuarantineRule, feature: FeatureContract, value: Scalar) -> bool:
    """Whether a value of the rule's feature is one that the rule calls spoilt.

    >>> from datetime import UTC
    >>> price, since = FeatureContract(name="price", kind="number"), datetime(2024, 1, 1, tzinfo=UTC)
    >>> cents = QuarantineRule(incident="i", feature="price", kind="unit", since=since, low=0.0, high=9.0)
    >>> [matches(cents, price, value) for value in (9.0, 900.0, -0.1, None)]
    [False, True, True, False]
    """
    match rule.kind:
        case "missing":
            return value is None
        case "unit":
            return _is_outside(rule, value)
        case "stuck":
            return value is not None and _grid_bin(feature, value) == rule.bin
        case _:
            assert_never(rule.kind)


def covers(rule: QuarantineRule, at: datetime) -> bool:
    """Whether a row of that event time can be spoilt by it: from `since` to `until`, both included."""
    return rule.since <= at and (rule.until is None or at <= rule.until)


def flag_of(rule: QuarantineRule) -> str:
    """What stands on a row that the rule matches, and what a dataset counts it under."""
    return f"{rule.feature}:{rule.kind}"


def feature_of(flag: str) -> str:
    """The feature that a flag 'feature:kind' speaks of; '' where it speaks of none.

    >>> feature_of("price:unit"), feature_of("a:b:range"), feature_of("fallback")
    ('price', 'a:b', '')
    """
    return flag.rpartition(":")[0]


def _is_outside(rule: QuarantineRule, value: Scalar) -> bool:
    if value is None or isinstance(value, (str, bool)):
        return False
    return (rule.low is not None and value < rule.low) or (rule.high is not None and value > rule.high)


def _grid_bin(feature: FeatureContract, value: float | str | bool) -> int | None:
    """None where the value has no bin: it cannot be the one that the feed is stuck at."""
    if violation(feature, value) in {"type", "not_finite"}:
        return None
    try:
        return bin_of(feature, value)
    except OverflowError:
        return None


def ended(rule: QuarantineRule, at: datetime) -> QuarantineRule:
    """The rule with an end, not before its beginning; one that has an end keeps it."""
    return rule if rule.until is not None else msgspec.structs.replace(rule, until=max(rule.since, at))
