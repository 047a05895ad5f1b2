"""Is the feed of one feature spoilt? Tests of a reference against counts, as CUSUMs: evidence is a sum over rows.

Each hypothesis says: so large a share of the rows is spoilt in this way. A row that is (a hit) adds to its sum, one that is
not takes away; the sum never falls below zero, and the time at which it last left zero is when the bug began. All sums are
over counts, so that partitions add, and counts cut coarser never call earlier.

- unit: rows in the image of a factor (`unit_factor`). Rows between the reference and the image, or beyond it, speak against it.
- stuck: rows in one grid bin, against the largest share that any bin has in the reference, and that is by how much it may have
  been larger by chance. Rows that depend on each other count as fewer (the design effect).
- missing: rows without a value, against the reference's share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from drift.unit_factor import UNLIKELY, Image, fit, images
from streams.contract import NUMBER, FeatureContract
from streams.profile import FeatureProfile

Kind = Literal["unit", "stuck", "missing"]

THRESHOLD: Final = 18.0
"""exp(18): one false call in 65 million independent rows and hypothesis, whatever the reference looks like."""
SHARES: Final = (0.97, 0.3, 0.1)
"""Spoilt shares that are looked for: the whole feed, or one of several sources."""
STUCK_SHARES: Final = (0.97, 0.5)
"""Fewer are not looked for: a feature that calms down (a price, at night) fills single bins too."""
UNIT_ODDS: Final = (3.0, 2.0, 2.0)
"""A genuine change is granted a third, or half, of the share that is looked for: 17 rows at least make a call of a whole feed, 26 of
a part of it (a price may soar for a day, and leave its reference at once)."""
MISSING_ODDS: Final = 10.0
"""Values that lack need less: 8 rows."""
AGAINST: Final = 3.0
"""What a row takes away that lies where neither the reference nor the image does."""
FLATTEST: Final = 0.8
"""A feature, one bin of which may hold so much, is (nearly) constant: it cannot be stuck."""
STRANGERS: Final = 8
"""Rows at which a constant has woken up: rows elsewhere than any factor of it would be. Nothing is known of its scale then."""
LEAST_LATELY: Final = 96
MOST_LATELY: Final = 1_024
"""Live rows that tell where a feed was last: with fewer its reference has to."""
MOST_STUCK: Final = 16
"""Bins of a feature that are suspected at the same time."""
LEAST_CLUMP: Final = 8
"""Missing rows of a reference that may all have come at once, without making it a clumpy one."""


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the reference of one feature makes of counts."""

    feature: str
    bins: dict[int, int]
    rows: int
    missing: int
    design_effect: float
    images: tuple[Image, ...] = ()
    fullest: float = 1.0
    """The largest share that a single bin may have; above FLATTEST none is looked for."""
    strangers: int = 0
    """Rows of a constant that are not it, nor it times a factor."""
    lately: dict[int, int] = {}
    """Live rows that fit no factor, older ones with less weight: the feed may have moved, and a factor is told by where it was last."""

    def share_of(self, place: int) -> float:
        """Share of the reference's rows in a bin."""
        return self.bins.get(place, 0) / max(self.rows, 1)

    @property
    def missing_share(self) -> float:
        """Share of rows without a value."""
        return self.missing / max(self.rows, 1)


class Trail(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A hypothesis that something speaks for. `which`: place in `images`, or the bin; `size`: place in the list of shares."""

    kind: Kind
    which: int
    size: int
    total: float
    since: datetime
    rows: int
    hits: int
    fit: float
    """Log likelihood, under the factor, of the rows that are hits or speak against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The rows of one feature in one window."""

    bins: Mapping[int, int]
    missing: int
    invalid: int
    since: datetime
    """Event time from which they may be."""

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(self.bins.values()) + self.missing + self.invalid


def grounds(feature: FeatureContract, profile: FeatureProfile) -> Grounds:
    """Fit the tests to a reference."""
    present = sum(profile.bins.values())
    fullest = 1.0
    if present:
        mode = max(profile.bins.values()) / present
        fullest = min(1.0, mode + 2.0 * math.sqrt(mode * (1.0 - mode) * profile.design_effect / present))
    return Grounds(
        feature=feature.name,
        bins=profile.bins,
        rows=present + profile.missing,
        missing=profile.missing,
        design_effect=max(profile.design_effect, 1.0),
        images=images(feature, profile.bins) if feature.kind == NUMBER else (),
        fullest=fullest,
    )


def acquainted(known: Grounds, counted: Counted) -> Grounds:
    """Take note of rows that fit no factor. A constant that wakes up is never a constant in another unit afterwards."""
    if not known.images:
        return known
    calm = {place: count for place, count in counted.bins.items() if not any(image.holds(place) for image in known.images)}
    lately = {place: known.lately.get(place, 0) + calm.get(place, 0) for place in sorted({*known.lately, *calm})}
    while sum(lately.values()) > MOST_LATELY:
        lately = {place: count // 2 for place, count in lately.items() if count > 1}
    strangers = known.strangers
    if len(known.bins) == 1:
        strangers += sum(count for place, count in calm.items() if place not in known.bins)
    images_left = () if strangers >= STRANGERS else known.images
    return msgspec.structs.replace(known, strangers=min(strangers, STRANGERS), lately=lately, images=images_left)


def advance(
    known: Grounds, trails: tuple[Trail, ...], counted: Counted, feature: FeatureContract
) -> tuple[tuple[Trail, ...], Trail | None]:
    """Fold counts. The second is the hypothesis to act on, if any is proved: the best of those that are."""
    before = {(trail.kind, trail.which, trail.size): trail for trail in trails}
    now = [
        *_missing(known, before, counted),
        *_units(known, before, counted, feature),
        *sorted(_stuck(known, before, counted), key=lambda trail: -trail.total)[:MOST_STUCK],
    ]
    proved = {trail.kind for trail in now if trail.total > THRESHOLD}
    kind = next((kind for kind in ("missing", "unit", "stuck") if kind in proved), None)
    if kind is None:
        return tuple(now), None
    # Of factors the likeliest, even if a few rows that moved beside its image deny it for now.
    least = THRESHOLD / 2.0 if kind == "unit" else THRESHOLD
    named = [trail for trail in now if trail.kind == kind and trail.total > least]
    return tuple(now), max(named, key=lambda trail: (trail.fit / max(trail.hits, 1), trail.total, -trail.which))


def _missing(known: Grounds, before: Mapping[tuple[Kind, int, int], Trail], counted: Counted) -> list[Trail]:
    usual = (known.missing + 0.5) / (known.rows + 1.0)
    clumps = min(known.design_effect, max(1.0, known.missing / LEAST_CLUMP))
    found = []
    for size, share in enumerate(SHARES):
        wanted = usual + share * (1.0 - usual)
        granted = max(wanted / MISSING_ODDS, 2.0 * usual)
        if wanted > 1.5 * granted:
            last = before.get(("missing", 0, size))
            scores = _scores(wanted, granted, clumps)
            found += _stepped(last, ("missing", 0, size), counted, hits=counted.missing, scores=scores)
    return found


def _units(
    known: Grounds, before: Mapping[tuple[Kind, int, int], Trail], counted: Counted, feature: FeatureContract
) -> list[Trail]:
    if not known.images:
        return []
    found = []
    lowest, highest = min(known.bins), max(known.bins)
    origin = known.lately if sum(known.lately.values()) >= LEAST_LATELY else known.bins
    outside = {place: count for place, count in counted.bins.items() if not lowest <= place <= highest}
    for which, image in enumerate(known.images):
        hit = {place: count for place, count in outside.items() if image.holds(place)}
        hits = sum(hit.values())
        against = sum(count for place, count in outside.items() if image.denied_by(place, lowest, highest))
        fits = sum(count * fit(feature, origin, image, place) for place, count in hit.items()) + against * math.log(UNLIKELY)
        for size, share in enumerate(SHARES[:1] if image.near and image.factor < 1 else SHARES):
            key: tuple[Kind, int, int] = ("unit", which, size)
            scores = _scores(share, share / UNIT_ODDS[size], 1.0)
            found += _stepped(before.get(key), key, counted, hits=hits, scores=scores, against=against, fits=fits)
    return found


def _stuck(known: Grounds, before: Mapping[tuple[Kind, int, int], Trail], counted: Counted) -> list[Trail]:
    if known.fullest > FLATTEST:
        return []
    places = set(counted.bins) | {which for kind, which, _ in before if kind == "stuck"}
    found = []
    for size, share in enumerate(STUCK_SHARES):
        scores = _scores(max(share, known.fullest + 0.5 * (1.0 - known.fullest)), known.fullest, known.design_effect)
        for place in sorted(places):
            key: tuple[Kind, int, int] = ("stuck", place, size)
            found += _stepped(before.get(key), key, counted, hits=counted.bins.get(place, 0), scores=scores)
    return found


def _scores(wanted: float, granted: float, dependence: float) -> tuple[float, float]:
    """Log likelihood ratio of a hit and of a miss, `dependence` rows counting as one."""
    return math.log(wanted / granted) / dependence, math.log((1.0 - wanted) / (1.0 - granted)) / dependence


def _stepped(
    last: Trail | None,
    key: tuple[Kind, int, int],
    counted: Counted,
    *,
    hits: int,
    scores: tuple[float, float],
    against: int = 0,
    fits: float = 0.0,
) -> list[Trail]:
    """The hypothesis one window later; none where nothing speaks for it any more."""
    if last is None and not hits:
        return []
    # Of a value that is missing nothing is known but that: it speaks for no other kind, and against none.
    silent = 0 if key[0] == "missing" else counted.missing + counted.invalid
    total = hits * scores[0] + (counted.rows - silent - hits - against) * scores[1] - AGAINST * against
    since, rows = counted.since, counted.rows
    if last is not None:
        total, rows, fits = total + last.total, rows + last.rows, fits + last.fit
        since = min(last.since, since) if hits else last.since
        hits += last.hits
    if total <= 0.0:
        return []
    kind, which, size = key
    return [Trail(kind=kind, which=which, size=size, total=total, since=since, rows=rows, hits=hits, fit=fits)]
