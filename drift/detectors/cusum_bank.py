"""The first feature detector: one bank of tolerance-corrected, tempered CUSUMs with thresholds by formula.

`fit` turns a reference into a `Table` (or says `Off`: the reference cannot support the declared rate); `advance` folds
counts. Evidence is a sum over bin counts: partitions add, and counts cut coarser never alarm earlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
import numpy as np

from drift.detectors.cusum_columns import ESSENTIAL, Reference, change_columns, rare_columns
from streams.policy import DriftPolicy
from streams.profile import FeatureProfile
from streams.reference_scores import Bins, normal_scores, reference_bins

MOST_UNCERTAIN: Final = 2.5
"""An alternative whose ln(false alarm rate) has a larger standard deviation is off: its rate would be a guess."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted stream: scores by bin (the last: missing) and alternative, and their thresholds."""

    name: str
    bins: Bins
    grouped: tuple[int, ...]
    """Reference counts by bin, missing left out."""
    scores: tuple[tuple[float, ...], ...]
    heights: tuple[float, ...]
    alternatives: tuple[str, ...]


class Off(msgspec.Struct, frozen=True, kw_only=True):
    """A stream whose reference is too short for the declared rate."""

    name: str
    rows_needed: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where each alternative's CUSUM stands. `base` and `since`: counts and time at which it last was at zero."""

    at: datetime
    counts: tuple[int, ...]
    sums: tuple[float, ...]
    base: tuple[tuple[int, ...], ...]
    since: tuple[datetime, ...]


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """The stream left its reference: by which alternative, how far over its threshold, since when, how far it moved."""

    alternative: str
    statistic: float
    threshold: float
    since: datetime
    size: float
    """Reference standard deviations where bins are ordered, PSI where they are named, share of rows for rare values."""


def fit(profile: FeatureProfile, *, ordered: bool, rows: int, policy: DriftPolicy, streams: int) -> Table | Off:
    """Table of one stream out of `streams` of a model, from a reference of `rows` rows.

    >>> counts = {bin: round(400 * math.exp(-bin * bin / 128)) for bin in range(-20, 21)}
    >>> x = FeatureProfile(feature="x", bins=counts, missing=0)
    >>> fit(x, ordered=True, rows=sum(counts.values()), policy=DriftPolicy(), streams=1).alternatives[:2]
    ('missing values', 'mean -0.25 sd')
    >>> dependent = msgspec.structs.replace(x, design_effect=300.0)
    >>> type(fit(dependent, ordered=True, rows=sum(counts.values()), policy=DriftPolicy(), streams=1)).__name__
    'Off'
    """
    bins = reference_bins(profile.bins, ordered=ordered)
    grouped = tuple(bins.group(profile.bins))
    reference = Reference(profile=profile, bins=bins, grouped=grouped, rows=rows, streams=streams, policy=policy)
    changes = change_columns(reference)
    essential = [change.uncertainty for change in changes if bins.kind == "named" or change.name in ESSENTIAL]
    if essential and min(essential) > MOST_UNCERTAIN:
        return Off(name=profile.feature, rows_needed=math.ceil(rows * (min(essential) / MOST_UNCERTAIN) ** 2))
    columns = rare_columns(reference) + [change for change in changes if change.uncertainty <= MOST_UNCERTAIN]
    return Table(
        name=profile.feature,
        bins=bins,
        grouped=grouped,
        scores=tuple(zip(*(column.scores for column in columns), strict=True)),
        heights=tuple(column.height for column in columns),
        alternatives=tuple(column.name for column in columns),
    )


def start(table: Table, at: datetime) -> State:
    """Every CUSUM at zero."""
    nothing = (0,) * len(table.scores)
    width = len(table.heights)
    return State(at=at, counts=nothing, sums=(0.0,) * width, base=(nothing,) * width, since=(at,) * width)


def advance(table: Table, state: State, counts: Mapping[int, int], *, missing: int, at: datetime) -> tuple[State, Alarm | None]:
    """Fold the grid counts of one window. After an alarm every CUSUM starts again from zero."""
    added = [*table.bins.group(counts), missing]
    seen = [place for place, count in enumerate(added) if count]
    if not seen:
        return state, None
    base, since, sums = list(state.base), list(state.since), list(state.sums)
    for place, before in enumerate(state.sums):
        if before <= 0.0:
            base[place], since[place], before = state.counts, state.at, 0.0  # noqa: PLW2901 - the maximum with zero
        sums[place] = before
    for bin_ in seen:
        count = added[bin_]
        sums = [total + count * score for total, score in zip(sums, table.scores[bin_], strict=True)]
    now = State(
        at=at,
        counts=tuple(one + other for one, other in zip(state.counts, added, strict=True)),
        sums=tuple(sums),
        base=tuple(base),
        since=tuple(since),
    )
    worst = max(range(len(sums)), key=lambda place: sums[place] / table.heights[place])
    if sums[worst] <= table.heights[worst]:
        return now, None
    return start(table, at), _alarm(table, now, worst)


def ratio(table: Table, state: State) -> float:
    """The largest statistic over its threshold (1 alarms), at least 0."""
    return max(0.0, *(total / height for total, height in zip(state.sums, table.heights, strict=True)))


def _alarm(table: Table, state: State, place: int) -> Alarm:
    moved = [now - then for now, then in zip(state.counts, state.base[place], strict=True)]
    return Alarm(
        alternative=table.alternatives[place],
        statistic=state.sums[place],
        threshold=table.heights[place],
        since=state.since[place],
        size=_size(table, table.alternatives[place], moved),
    )


def _size(table: Table, alternative: str, moved: Sequence[int]) -> float:
    """How far the rows since the change stand from the reference."""
    present = max(sum(moved[:-1]), 1)
    if alternative == "missing values":
        return moved[-1] / sum(moved)
    if alternative == "values unlike the reference":
        return moved[-2] / present
    p = (np.array(table.grouped) + 0.5) / (sum(table.grouped) + 0.5 * len(table.grouped))
    q = (np.array(moved[:-1]) + 0.5) / (present + 0.5 * len(table.grouped))
    if table.bins.kind == "named":
        return float(((q - p) * np.log(q / p)).sum())
    scores = normal_scores(p)
    unit, mean = math.sqrt(float(p @ scores**2)), float(q @ scores)
    if alternative.startswith("mean"):
        return mean / unit
    return math.sqrt(float(q @ scores**2) - mean**2) / unit - 1
