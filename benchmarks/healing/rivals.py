"""The policies that ours is measured against. None is told a price: each is replayed once a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.healing.action import Action
from benchmarks.healing.feature_alarm import FeatureAlarm
from benchmarks.healing.loss_alarms import adwin, ddm
from benchmarks.healing.performance_rules import PerformanceRule, above_quantile, above_recent, above_start
from benchmarks.healing.replay import RetrainingPolicy
from benchmarks.healing.schedules import INTERVALS, Every, Never
from benchmarks.healing.stream import Stream

NewPolicy = Callable[[Stream], RetrainingPolicy]

NEVER: Final = "never"


def _every(periods: int, action: Action = Action.TRAIN) -> NewPolicy:
    return lambda _: Every(periods, action)


SCHEDULES: Final[Mapping[str, NewPolicy]] = {
    NEVER: lambda _: Never(),
    **{f"every_{periods}": _every(periods) for periods in INTERVALS},
}
SWAPPING_SCHEDULES: Final[Mapping[str, NewPolicy]] = {
    NEVER: lambda _: Never(),
    **{f"swap_every_{periods}": _every(periods, Action.SWAP) for periods in INTERVALS},
}
"""The clock with frozen challengers, which only exist beside a system such as ours: is it more than their merit?"""
ALARMS: Final[Mapping[str, NewPolicy]] = {
    "adwin_0.002": lambda _: adwin(0.002),
    "adwin_0.05": lambda _: adwin(0.05),
    # DDM counts errors; where losses are numbers, ADWIN stands in, so that every alarm has a figure on every stream.
    "ddm": lambda stream: ddm() if stream.classes else adwin(0.002),
    "ks_any": lambda _: FeatureAlarm(0.0),
    "ks_half": lambda _: FeatureAlarm(0.5),
    "static": lambda _: PerformanceRule(above_start),
    "rolling": lambda _: PerformanceRule(above_recent),
    "quantile": lambda _: PerformanceRule(above_quantile),
}
