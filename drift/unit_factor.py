"""Values in another unit: where a feature's reference would lie after one factor, and how well rows there fit it.

A factor is looked for only where it can be told from genuine change: 95 % of its image lies far from the reference, with a
stretch between them in which nobody should be. A doubled price is no proof of another unit; a price in cents is.
Values that shrink to nearly nothing may come to rest not far below a reference that begins close to zero: such an image is
`near`, and believed only when the whole feed is there at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from streams.contract import BINS_PER_SCALE, FeatureContract, bin_of

FACTORS: Final = tuple(
    factor
    for number in (1000.0, 100.0, 10.0, 1e6, 60.0, 3600.0, 24.0, 7.0, 12.0, 1.8, 2.2046, 1 / 0.3048, 1.609344, 1e4, 1e5, 1e9)
    for factor in (number, 1 / number)
)
"""Decimal prefixes; minutes, hours, days, weeks, months; degrees, pounds, feet, miles. Of two that fit alike the first is named."""

GAP_BINS: Final = 4
"""Half a standard deviation near the centre, a factor of 1.65 far out: the stretch that even a near image leaves free."""
APART: Final = 0.95
"""Share of the reference that must lie beyond that stretch after the factor."""
SIDE: Final = 0.05
"""A side (below, above) that holds less of the image than this is left out of it."""
MOST_SLACK: Final = 4
"""An image is so many bins wider than the reference's at most, a factor of 1.65: the feed may have moved since it was made."""
CONSTANT: Final = 0.8
"""A reference, one bin of which holds so much, says nothing of how the feature changes."""
LEAST: Final = 50.0
"""Of a constant, and of what comes to rest near its reference, smaller factors prove nothing: an image is a bin (13 %) wide, or as
wide as a feed may move by itself."""
DRIFTED: Final = 1.5
"""Log likelihood that each bin costs by which rows lie beside the image."""
UNLIKELY: Final = 1e-3
"""Floor of a likelihood: one odd row must not decide between factors."""
_STEEPEST: Final = 700.0
"""sinh beyond it has no double."""


class Image(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One factor: the grid bins [first, last], below and above the reference, in which its rows would lie."""

    factor: float
    sides: tuple[tuple[int, int], ...]
    low_bin: int
    high_bin: int
    """Outside [low_bin, high_bin] a row is called spoilt: half way between the reference and the image."""
    near: bool

    def holds(self, place: int) -> bool:
        """Whether rows of this bin fit the factor."""
        return any(first <= place <= last for first, last in self.sides)

    def denied_by(self, place: int, lowest: int, highest: int) -> bool:
        """Whether rows of this bin speak against it: they lie where a change would pass or end, and the factor would not."""
        if self.holds(place):
            return False
        if self.near:
            return not lowest - 1 <= place <= highest + 1
        below, above = self.sides[0][0] < lowest, self.sides[-1][1] > highest
        return (below and place < self.low_bin) or (above and place > self.high_bin)


def edge(feature: FeatureContract, place: float) -> float:
    """Value at a place on the grid, in the feature's own unit (bins end at halves).

    >>> edge(FeatureContract(name="x", kind="number", centre=5.0, scale=2.0), 0.0)
    5.0
    """
    return feature.centre + feature.scale * math.sinh(max(-_STEEPEST, min(_STEEPEST, place / BINS_PER_SCALE)))


def images(feature: FeatureContract, bins: Mapping[int, int]) -> tuple[Image, ...]:
    """Every factor that could be told from genuine change, given the reference's counts of a number.

    >>> even = {bin: 10 for bin in range(-10, 11)}
    >>> kelvin = FeatureContract(name="t", kind="number", centre=290.0, scale=5.0)
    >>> around_zero = FeatureContract(name="x", kind="number")
    >>> [[factor in [one.factor for one in images(f, even)] for factor in (1000.0, 1.8, 0.001)] for f in (kelvin, around_zero)]
    [[True, True, True], [True, False, False]]
    """
    found = (_image(feature, bins, factor) for factor in FACTORS) if bins else ()
    return tuple(image for image in found if image is not None)


def fit(feature: FeatureContract, origin: Mapping[int, int], image: Image, place: int) -> float:
    """Log likelihood of a row in this bin, if it is a row from where the feed was (or a little beside), times the factor."""
    low, high = sorted(edge(feature, place + side) / image.factor for side in (-0.5, 0.5))
    best = UNLIKELY
    for moved in range(-MOST_SLACK, MOST_SLACK + 1):
        best = max(best, _mass(feature, origin, low, high, moved) * math.exp(-DRIFTED * abs(moved)))
    return math.log(best)


def is_constant(bins: Mapping[int, int]) -> bool:
    """Whether a reference is (nearly) constant."""
    return max(bins.values(), default=0) >= CONSTANT * sum(bins.values())


def _image(feature: FeatureContract, bins: Mapping[int, int], factor: float) -> Image | None:
    constant = is_constant(bins)
    if constant and factor < LEAST:  # shrinking too: a thing that is switched off goes to zero
        return None
    lowest, highest = min(bins), max(bins)
    bottom, top = edge(feature, lowest - 0.5), edge(feature, highest + 0.5)
    try:
        image = min(bottom * factor, top * factor), max(bottom * factor, top * factor)
        ends = bin_of(feature, image[0]), bin_of(feature, image[1])
        span = bin_of(feature, bottom - (top - bottom)), bin_of(feature, top + (top - bottom))
    except OverflowError:
        return None
    gap = lowest - GAP_BINS, highest + GAP_BINS
    far = min(gap[0], span[0]), max(gap[1], span[1])
    for free, near in ((far, constant), (gap, True)):
        shares = (
            _mass(feature, bins, -math.inf, edge(feature, free[0] + 0.5) / factor),
            _mass(feature, bins, edge(feature, free[1] - 0.5) / factor, math.inf),
        )
        if sum(shares) >= APART:
            return _placed(factor, shares, (lowest, highest), free, ends, near=near)
        if factor > 1 / LEAST:
            break  # what grows has to pass a whole span of the reference
    return None


def _placed(
    factor: float,
    shares: tuple[float, float],
    reference: tuple[int, int],
    free: tuple[int, int],
    ends: tuple[int, int],
    *,
    near: bool,
) -> Image:
    """The image, with slack where there is room, and the limits half way to it."""
    sides = []
    limits = list(free)
    for place, sign in ((0, -1), (1, 1)):
        if shares[place] < SIDE:
            continue
        nearest = sign * max(sign * ends[1 - place], sign * free[place])
        gap = abs(nearest - reference[place])
        inner = 0 if near else min(MOST_SLACK, gap // 4)
        outer = 0 if reference[0] == reference[1] else max(inner, 1)
        limits[place] = reference[place] + sign * (gap // 2)
        sides.append(tuple(sorted((nearest - sign * inner, ends[place] + sign * outer))))
    return Image(
        factor=factor,
        sides=tuple((first, last) for first, last in sides),
        low_bin=limits[0],
        high_bin=limits[1],
        near=near,
    )


def _mass(feature: FeatureContract, bins: Mapping[int, int], low: float, high: float, moved: int = 0) -> float:
    """Share of the reference, moved by so many bins, whose values lie in [low, high]."""
    held = 0.0
    for place, count in bins.items():
        bottom, top = edge(feature, place + moved - 0.5), edge(feature, place + moved + 0.5)
        if top > bottom:
            held += count * max(0.0, min(top, high) - max(bottom, low)) / (top - bottom)
    return held / sum(bins.values())
