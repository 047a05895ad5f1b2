"""One incident of a data bug: the rule and the words it opens with, which rows match it, and when its feed is well again.

A feed is well when so few rows match as if nothing were wrong, for CLOSING_ROWS in balance: each row that does not match counts
one, each that does takes away so many that a share of `well` keeps the balance where it is. It never falls below zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

import msgspec

from drift.spoilt_rows import THRESHOLD, Counted, Grounds, Kind, Trail
from drift.unit_factor import edge
from streams.contract import NUMBER, FeatureContract, bin_of
from streams.events import QuarantineRule, WindowCounted, derived_id

CLOSING_ROWS: Final = 200
"""A bug on 5 % of the rows is taken for gone once in 30,000 times (.95 ** 200)."""
FEW: Final = 0.02
"""Share of matching rows, beyond the reference's own, up to which a feed is on its way to being well."""
_INSIDE: Final = 1e-6
"""A limit lies so far within its bin's edge that rounding moves no row over it."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A bug that lasts. `unmarked`: event time up to which spoilt rows have come without a mark."""

    rule: QuarantineRule
    well: float
    """Share of matching rows, below which the balance grows."""
    unmarked: datetime
    balance: float = 0.0
    rows: int = 0
    hits: int = 0
    """Of `rows`, those that match, since the balance last was zero."""

    @property
    def is_over(self) -> bool:
        """Whether the feed is well again."""
        return self.balance >= CLOSING_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An incident, opened or closed, in words and numbers."""

    rule: QuarantineRule
    closed: bool
    why: str
    numbers: dict[str, float]


def opened(known: Grounds, feature: FeatureContract, proved: Trail, window: WindowCounted) -> tuple[Incident, Call]:
    """The incident that a proved hypothesis makes of a feature."""
    share, usual = proved.hits / proved.rows, _usual(known, proved)
    rule = _rule(known, feature, proved, window)
    numbers = {
        "share": share,
        "usual_share": usual,
        "rows": float(proved.rows),
        "hits": float(proved.hits),
        "statistic": proved.total,
        "threshold": THRESHOLD,
    }
    if proved.kind == "unit":
        numbers["factor"] = known.images[proved.which].factor
    often = f"{share:.0%} of {proved.rows} rows since {rule.since:%Y-%m-%d %H:%M}"
    call = Call(rule=rule, closed=False, why=f"{feature.name}: {_what(known, feature, proved, often)}", numbers=numbers)
    return Incident(rule=rule, well=_well(proved.kind, usual, share), unmarked=window.at), call


def closed(incident: Incident, at: datetime, why: str) -> Call:
    """The end of an incident."""
    rule = msgspec.structs.replace(incident.rule, until=max(at, incident.rule.since))
    numbers = {"rows": float(incident.rows), "hits": float(incident.hits)}
    return Call(rule=rule, closed=True, why=f"{rule.feature}: {why}", numbers=numbers)


def advance(incident: Incident, counted: Counted, feature: FeatureContract) -> Incident:
    """Move the balance by one window's rows."""
    hits = matching(incident.rule, feature, counted.bins, counted.missing)
    balance = incident.balance + counted.rows - hits - hits * (1.0 - incident.well) / incident.well
    if balance <= 0.0:
        return msgspec.structs.replace(incident, balance=0.0, rows=0, hits=0)
    return msgspec.structs.replace(incident, balance=balance, rows=incident.rows + counted.rows, hits=incident.hits + hits)


def matching(rule: QuarantineRule, feature: FeatureContract, bins: Mapping[int, int], missing: int) -> int:
    """How many of these rows match a rule of ours: its limits lie on edges of bins."""
    match rule.kind:
        case "missing":
            return missing
        case "stuck":
            return bins.get(rule.bin, 0) if rule.bin is not None else 0
        case "unit":
            low = None if rule.low is None else bin_of(feature, rule.low)
            high = None if rule.high is None else bin_of(feature, rule.high)
            return sum(
                count for place, count in bins.items() if (low is not None and place < low) or (high is not None and place > high)
            )
        case _:
            assert_never(rule.kind)


def _rule(known: Grounds, feature: FeatureContract, proved: Trail, window: WindowCounted) -> QuarantineRule:
    rule = QuarantineRule(
        incident=derived_id(window.id, "incident", feature.name),
        feature=feature.name,
        kind=proved.kind,
        since=min(proved.since, window.at),
    )
    match proved.kind:
        case "missing":
            return rule
        case "stuck":
            return msgspec.structs.replace(rule, bin=proved.which)
        case "unit":
            image = known.images[proved.which]
            low, high = edge(feature, image.low_bin - 0.5 + _INSIDE), edge(feature, image.high_bin + 0.5 - _INSIDE)
            return msgspec.structs.replace(rule, low=low, high=high)
        case _:
            assert_never(proved.kind)


def _what(known: Grounds, feature: FeatureContract, proved: Trail, often: str) -> str:
    match proved.kind:
        case "missing":
            return f"no value in {often}; {known.missing_share:.1%} in the reference"
        case "stuck":
            return f"{_place(feature, proved.which)} in {often}; {known.share_of(proved.which):.0%} in the reference"
        case "unit":
            factor = known.images[proved.which].factor
            size = f"{factor:.4g} times too large" if factor > 1 else f"{1 / factor:.4g} times too small"
            return f"values {size} in {often}"
        case _:
            assert_never(proved.kind)


def _place(feature: FeatureContract, place: int) -> str:
    if feature.kind != NUMBER:
        return "stuck at one value"
    return f"stuck between {edge(feature, place - 0.5):.4g} and {edge(feature, place + 0.5):.4g}"


def _usual(known: Grounds, proved: Trail) -> float:
    """Share of rows that match when nothing is wrong."""
    return {"unit": 0.0, "stuck": known.share_of(proved.which), "missing": known.missing_share}[proved.kind]


def _well(kind: Kind, usual: float, share: float) -> float:
    """Half way from usual to spoilt for a bin, which healthy rows fill by fits and starts; hardly more than usual for the others."""
    half = (share - usual) / 2.0
    return usual + (half if kind == "stuck" else min(FEW, half))
