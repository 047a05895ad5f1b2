"""The reference bins of a stream, and the log likelihood ratios of the changes it is watched for.

Fine grid bins are grouped, so that one count serves every release. A number's bins are cut at normal-spaced quantiles
of its reference (tails carry the spread) and its alternatives are shifts and spreads on the normal-score scale; a
category's alternatives are odds of single categories and exchanges of frequent pairs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import combinations
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

MOST_BINS: Final = 16
FEWEST_BINS: Final = 8
ROWS_PER_BIN: Final = 40
LARGEST_SCORE: Final = 6.0
FEWEST_VALUES: Final = 4
"""A number with fewer reference bins than this (a constant, a flag) is watched as a category."""
EXCHANGED: Final = 6
"""Exchanges are tried among so many of the most frequent categories."""

LOCATIONS: Final = (-0.25, 0.25, -0.55, 0.55, -1.2, 1.2)
SPREADS: Final = (0.7, 1.35)
NUMERIC_SHARES: Final = (0.13, 0.13, 0.11, 0.11, 0.10, 0.10, 0.07, 0.25)
"""Share of the false-alarm budget of each location, then of each spread (statistics of the design, sum 1)."""
ODDS: Final = 3.0
ODDS_SHARE: Final = 0.3
EXCHANGE_RATIO: Final = 1.3


class Bins(msgspec.Struct, frozen=True, kw_only=True):
    """How grid bins are grouped: ordered by `cuts` (a bin ends with its cut), or by `keys` with one more bin for all others."""

    kind: Literal["ordered", "named"]
    cuts: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()

    def index(self, grid_bin: int) -> int:
        """Reference bin of a grid bin.

        >>> Bins(kind="ordered", cuts=(-2, 5)).index(5), Bins(kind="named", keys=(7, 3)).index(8)
        (1, 2)
        """
        if self.kind == "ordered":
            return bisect_left(self.cuts, grid_bin)
        return self.keys.index(grid_bin) if grid_bin in self.keys else len(self.keys)

    @property
    def size(self) -> int:
        """Number of reference bins."""
        return len(self.cuts) + 1 if self.kind == "ordered" else len(self.keys) + 1

    def group(self, counts: Mapping[int, int]) -> list[int]:
        """Counts by reference bin."""
        grouped = [0] * self.size
        for grid_bin, count in counts.items():
            grouped[self.index(grid_bin)] += count
        return grouped


class Alternatives(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is watched for: names, shares of the budget, and scores log(q/p) by reference bin and alternative."""

    names: tuple[str, ...]
    shares: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]

    def table(self) -> Floats:
        """Scores as an array [bins, alternatives]."""
        return np.array(self.scores, dtype=np.float64).reshape(len(self.scores), len(self.names))


def probabilities(grouped: list[int]) -> Floats:
    """Reference probabilities, half a row added to every bin."""
    counts = np.array(grouped, dtype=np.float64)
    smoothed: Floats = (counts + 0.5) / (counts.sum() + 0.5 * len(grouped))
    return smoothed


def reference_bins(counts: Mapping[int, int], *, ordered: bool) -> Bins:
    """Bins of a stream by the grid counts of its reference (present values only); few-valued numbers become named."""
    if ordered:
        bins = Bins(kind="ordered", cuts=_quantile_cuts(counts))
        if bins.size >= FEWEST_VALUES:
            return bins
    frequent = sorted(counts, key=lambda key: (-counts[key], key))
    return Bins(kind="named", keys=tuple(frequent[: MOST_BINS - 1]))


def _quantile_cuts(counts: Mapping[int, int]) -> tuple[int, ...]:
    """Grid bins after which to cut: at Phi(linspace(-zm, zm)), at least 5 rows beyond the outermost."""
    rows = sum(counts.values())
    if rows < 4 * FEWEST_BINS:
        return ()
    bins = min(max(rows // ROWS_PER_BIN, FEWEST_BINS), MOST_BINS)
    reach = min(2.8, float(-ndtri(5.0 / rows)))
    wanted = ndtr(np.linspace(-reach, reach, bins - 1)) * rows
    keys = sorted(counts)
    below = np.cumsum([counts[key] for key in keys])
    nearest = {int(np.argmin(np.abs(below - quantile))) for quantile in wanted}
    return tuple(keys[place] for place in sorted(nearest) if 5 <= below[place] <= rows - 5)


def alternatives(bins: Bins, grouped: list[int]) -> Alternatives:
    """Everything the main stream of a feature, or the prediction, is watched for."""
    p = probabilities(grouped)
    return _numeric(p) if bins.kind == "ordered" else _named(p, grouped)


def normal_scores(p: Floats) -> Floats:
    """Mean of a standard normal within each bin of probability p, so that sizes read as reference standard deviations."""
    edges = ndtri(np.clip(np.cumsum(p)[:-1], 1e-12, 1 - 1e-12))
    density = np.concatenate([[0.0], np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi), [0.0]])
    scores: Floats = (density[:-1] - density[1:]) / p
    return scores


def _numeric(p: Floats) -> Alternatives:
    edges = ndtri(np.cumsum(p)[:-1])
    moves = [(shift, 1.0) for shift in LOCATIONS] + [(0.0, spread) for spread in SPREADS]
    columns = []
    for shift, spread in moves:
        q = np.diff(np.concatenate([[0.0], ndtr((edges - shift) / spread), [1.0]]))
        columns.append(_scores(q, p))
    names = [f"mean {shift:+g} sd" for shift in LOCATIONS] + [f"spread x{spread:g}" for spread in SPREADS]
    return _packed(names, list(NUMERIC_SHARES), columns)


def _named(p: Floats, grouped: list[int]) -> Alternatives:
    """Odds of each category that the reference knows, and exchanges of frequent pairs."""
    known = [place for place, count in enumerate(grouped) if count >= 5]
    watched = known[:1] if len(known) == 2 else known  # of two, one says it all
    names: list[str] = []
    columns: list[Floats] = []
    for place in watched if len(known) > 1 else ():
        for odds in (ODDS, 1 / ODDS):
            q = p * np.where(np.arange(len(p)) == place, odds, 1.0)
            names.append(f"category {place} odds x{odds:.2g}")
            columns.append(_scores(q / q.sum(), p))
    single = len(names)
    for one, other in combinations(sorted(known, key=lambda place: -grouped[place])[:EXCHANGED], 2):
        if max(p[one], p[other]) > EXCHANGE_RATIO * min(p[one], p[other]):
            q = p.copy()
            q[one], q[other] = p[other], p[one]
            names.append(f"categories {one} and {other} exchanged")
            columns.append(_scores(q, p))
    exchanged = len(names) - single
    part = ODDS_SHARE if exchanged else 1.0
    shares = [part / max(single, 1)] * single + [(1 - ODDS_SHARE) / max(exchanged, 1)] * exchanged
    return _packed(names, shares, columns) if names else Alternatives(names=(), shares=(), scores=((),) * len(p))


def _scores(q: Floats, p: Floats) -> Floats:
    clipped: Floats = np.clip(np.log(np.maximum(q, 1e-300) / p), -LARGEST_SCORE, LARGEST_SCORE)
    return clipped


def _packed(names: list[str], shares: list[float], columns: list[Floats]) -> Alternatives:
    table = np.stack(columns, axis=1)
    rows = tuple(tuple(float(value) for value in row) for row in table)
    return Alternatives(names=tuple(names), shares=tuple(shares), scores=rows)
