"""The columns of a bank's table: one corrected, tempered score per bin and alternative, with its threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from drift.detectors.thresholds import Demand, ball_corrected, threshold
from streams.policy import DriftPolicy
from streams.profile import FeatureProfile
from streams.reference_scores import Bins, alternatives, probabilities

SAFETY: Final = 2.0
"""On the declared rate, for what the formula misses (dependence between streams, seasons)."""
RARE_ODDS: Final = 4.0
RAREST: Final = 0.01
"""Values that are missing, or unlike the reference, in a smaller share of rows are never an alarm."""
RARE_SHARE: Final = 0.1
"""Of a stream's false-alarm budget, for those values."""
ESSENTIAL: Final = ("mean -0.55 sd", "mean +0.55 sd")
"""A number whose reference supports neither of these is not watched at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a stream is fitted to."""

    profile: FeatureProfile
    bins: Bins
    grouped: tuple[int, ...]
    rows: int
    streams: int
    policy: DriftPolicy

    @property
    def effect(self) -> float:
        """Design effect: so many dependent rows count as one."""
        return max(self.profile.design_effect, 1.0)

    def demand(self, share: float, *, edge_ratio: float) -> Demand:
        """The false-alarm rate of an alternative that gets `share` of this stream's part of the declared rate."""
        rate = share / (SAFETY * self.policy.false_alarm_every_rows)
        return Demand(rate=rate / self.streams, edge_rate=rate, edge_ratio=edge_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One alternative: a score for every bin and, last, for a missing value."""

    name: str
    scores: tuple[float, ...]
    height: float
    uncertainty: float
    """Standard deviation of ln(false alarm rate) due to the reference's length."""


def change_columns(reference: Reference) -> list[Column]:
    """The alternatives of the values themselves; a missing value says nothing about them."""
    grouped = list(reference.grouped)
    watched = alternatives(reference.bins, grouped)
    p, scores = probabilities(grouped), watched.table()
    present = max(sum(grouped), 1)
    tolerance = reference.policy.tolerance_sd
    radius = max(tolerance, 3 * math.sqrt(reference.effect / present))
    columns = []
    for place, (name, share) in enumerate(zip(watched.names, watched.shares, strict=True)):
        corrected = ball_corrected(scores[:, place], p, radius)
        demand = reference.demand(share * (1 - RARE_SHARE), edge_ratio=tolerance / radius)
        found = threshold(p, corrected, effect=reference.effect, rows=present, demand=demand)
        tempered = tuple(float(score) / reference.effect for score in corrected)
        columns.append(Column(name=name, scores=(*tempered, 0.0), height=found.height, uncertainty=found.uncertainty))
    return columns


def rare_columns(reference: Reference) -> list[Column]:
    """Missing values and, where bins are named, values unlike the reference."""
    sizes = len(reference.grouped)
    columns = [_rare("missing values", sizes, reference.profile.missing, reference)]
    if reference.bins.kind == "named":
        columns.append(_rare("values unlike the reference", sizes - 1, reference.grouped[-1], reference))
    return columns


def _rare(name: str, place: int, seen: int, reference: Reference) -> Column:
    """Odds x 4 of the bin at `place`, against an upper limit of its share instead of its uncertain estimate.

    The limit (three standard deviations and three rows more than seen) takes the place of the reference's own error.
    """
    few = seen / reference.effect
    share = min(max((few + 3 * math.sqrt(few) + 3) * reference.effect / max(reference.rows, 1), RAREST), 0.9)
    p = np.array([1 - share, share])
    q = np.array([1 - share, share * RARE_ODDS])
    corrected = ball_corrected(np.log(q / q.sum() / p), p, reference.policy.tolerance_sd)
    budget = RARE_SHARE / (2 if reference.bins.kind == "named" else 1)
    demand = reference.demand(budget, edge_ratio=1.0)
    found = threshold(p, corrected, effect=reference.effect, rows=reference.rows, demand=demand, known=True)
    usual, rare = (float(score) / reference.effect for score in corrected)
    scores = tuple(rare if bin_ == place else usual for bin_ in range(len(reference.grouped) + 1))
    return Column(name=name, scores=scores, height=found.height, uncertainty=found.uncertainty)
