"""What a policy's numbers may be: checked where a person writes one, and again where the log brings one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from streams.policy import Policy
from streams.price import BadPrice

Range = tuple[Callable[[float], bool], str]


def _at_least(low: float) -> Range:
    return (lambda value: value >= low), f"at least {low:g}"


def _above(low: float) -> Range:
    return (lambda value: value > low), f"greater than {low:g}"


_FRACTION: Final[Range] = (lambda value: 0.0 < value < 1.0), "between 0 and 1"

_RANGES: Final[dict[str, Range]] = {
    "staleness.period": _at_least(1),
    "staleness.maturity": _at_least(0),
    "staleness.error_value": _at_least(0),
    "staleness.second_value": _at_least(0),
    "staleness.challenger_cost": _at_least(0),
    "staleness.noise_trainings": _above(0),
    "challenger.share": (lambda value: 0.0 < value <= 1.0, "greater than 0 and at most 1"),
    "challenger.silent_periods": _at_least(1),
    "admission.cooldown": _at_least(0),
    "admission.trainings_per_30_days": _at_least(0),
    "admission.attempts": _at_least(1),
    "admission.deadline": _above(0),
    "admission.failures_to_open": _at_least(1),
    "training.trials": _at_least(1),
    "training.window_rows": _at_least(1),
    "training.holdout_rows": _at_least(1),
    "training.minimum_rows": _at_least(1),
    "training.minimum_class_rows": _at_least(1),
    "training.gate_margin": _at_least(0),
    "canary.margin": _FRACTION,
    "canary.alpha_promote": _FRACTION,
    "canary.alpha_rollback": _FRACTION,
    "canary.step_rows": _at_least(1),
    "canary.shadow_least_rows": _at_least(0),
    "canary.shadow_rows": _at_least(1),
    "canary.failure_margin": _at_least(0),
    "canary.latency_ratio": _at_least(1),
    "canary.bake_rows": _at_least(0),
    "canary.deadline": _above(0),
    "recall.releases": _at_least(0),
    "recall.rows": _at_least(1),
    "recall.alpha": _FRACTION,
    "drift.false_alarm_every_rows": _at_least(1),
    "drift.tolerance_sd": _at_least(0),
    "drift.burn_in_rows": _at_least(1),
}
"""What a number may be. Durations are compared in seconds."""

MOST_MATURITY: Final = 1_000
"""Periods: so many may be open while the challenger's scores of them are kept."""
LONGEST: Final = timedelta(days=3_650)
"""Of any duration: dates plus it must stay dates."""
LOGGING: Final = ("keep", "hash", "bin", "drop")
AUTONOMY: Final = ("observe", "suggest", "approve", "auto")
TRIGGERS: Final = ("staleness", "drift", "nothing")
NEWER: Final = ("waits", "replaces")
TASKS: Final = ("classification", "regression")


def fault(policy: Policy) -> str:
    """What is wrong with a policy, in one sentence; '' when nothing is.

    >>> fault(Policy())
    ''
    """
    for name, (allowed, wanted) in _RANGES.items():
        section, _, key = name.partition(".")
        value = getattr(getattr(policy, section), key)
        number = value.total_seconds() if isinstance(value, timedelta) else value
        if not allowed(number):
            return f"{name} must be {wanted}, got {number:g}."
        if isinstance(value, timedelta) and value > LONGEST:
            return f"{name} must be at most {LONGEST.days} days, got {value.days}."
    if policy.challenger.enabled and policy.staleness.maturity > MOST_MATURITY * policy.staleness.period:
        return f"staleness.maturity must be at most {MOST_MATURITY} periods where a challenger is on: lengthen the period, or turn it off."
    steps = policy.canary.steps
    if not steps or list(steps) != sorted(set(steps)) or steps[0] <= 0.0 or steps[-1] != 1.0:
        return f"canary.steps must rise and end with 1.0, as in [0.1, 0.5, 1.0], got {list(steps)}."
    for name, value, allowed_words in (
        ("training.task", policy.training.task, TASKS),
        ("autonomy", policy.autonomy, AUTONOMY),
        ("canary.newer", policy.canary.newer, NEWER),
        ("staleness.trigger", policy.staleness.trigger, TRIGGERS),
    ):
        if value not in allowed_words:
            return f"{name} must be one of {', '.join(allowed_words)}, got {value!r}."
    if wrong := _cost_fault(policy):
        return wrong
    for name, (low, high) in policy.training.search.items():
        if not low < high:
            return f"training.search.{name} must be [low, high] with low < high, got [{low:g}, {high:g}]."
    for feature, how in policy.log.items():
        if how not in LOGGING:
            return f"log.{feature} must be one of {', '.join(LOGGING)}, got {how!r}."
    return ""


def _cost_fault(policy: Policy) -> str:
    try:
        _ = policy.staleness.price_errors
    except BadPrice as error:
        return f"staleness: {error}"
    return ""
