"""Cumulative canary evidence turned into increments; records that repeat, go back or make no sense are told apart.

A record is cumulative since its (generation, step) began and names the source offsets it covers. An agent that starts
again may cut its records elsewhere, or repeat them: only what goes beyond the offsets counted so far is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from streams.events import UNIT, ArmEvidence, EvidenceGathered

LARGEST_COUNT: Final = 2**53
LARGEST_LATENCY_BIN: Final = 1_024
"""2**64 microseconds: no request takes longer."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """The last record counted of one (generation, step, arm)."""

    generation: int
    step: int
    arm: str
    covers: dict[str, int]
    n: int = 0
    worse: int = 0
    better: int = 0
    difference: int = 0
    difference_squared: int = 0
    arms: tuple[ArmEvidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """New exposure of one arm."""

    answered: int = 0
    asked: int = 0
    """Rows it was asked for: scored, failed or late."""
    failures: int = 0
    latency: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """What a record adds: pairs (sums of real differences in [-1, 1]) and the exposure of both arms."""

    n: int
    worse: int
    better: int
    difference: float
    squared: float
    arm: ArmCounts
    champion: ArmCounts

    def from_the_other_side(self) -> Increment:
        """The champion against the arm: what a control's evidence says of the champion that replaced it."""
        return Increment(
            n=self.n,
            worse=self.better,
            better=self.worse,
            difference=-self.difference,
            squared=self.squared,
            arm=self.champion,
            champion=self.arm,
        )


@dataclass(frozen=True, slots=True)
class Repeated:
    """Nothing in it goes beyond what was counted."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """It cannot be counted, and why."""

    why: str


def increment_of(event: EvidenceGathered, last: Counted) -> Increment | Repeated | Unusable:
    """What `event` adds to the last record of its (generation, step, arm)."""
    absurd = _absurdity(event)
    if absurd:
        return Unusable(absurd)
    back = [source for source, offset in last.covers.items() if event.covers.get(source, -1) < offset]
    if back:
        source = min(back)
        return Unusable(f"covers {source} to {event.covers.get(source, 'nothing')}, after {last.covers[source]} was counted")
    if event.covers == last.covers:
        return Repeated()
    arm, champion = _grown(event, last, event.arm), _grown(event, last, "champion")
    n, worse, better = event.n - last.n, event.worse - last.worse, event.better - last.better
    squared = event.difference_squared - last.difference_squared
    difference = event.difference - last.difference
    if (
        arm is None
        or champion is None
        or min(n, worse, better, squared) < 0
        or not _possible(n, worse, better, difference, squared)
    ):
        return Unusable("counts fell, or cannot be true, since the last record of this step")
    return Increment(
        n=n, worse=worse, better=better, difference=difference / UNIT, squared=squared / UNIT, arm=arm, champion=champion
    )


def counted(event: EvidenceGathered) -> Counted:
    """The record to take the next difference from."""
    return Counted(
        generation=event.generation,
        step=event.step,
        arm=event.arm,
        covers=dict(sorted(event.covers.items())),
        n=event.n,
        worse=event.worse,
        better=event.better,
        difference=event.difference,
        difference_squared=event.difference_squared,
        arms=event.arms,
    )


def exposure(of: Counted, arm: str) -> ArmEvidence:
    """What one arm was given in that (generation, step); zero when it was not named."""
    return next((entry for entry in of.arms if entry.arm == arm), ArmEvidence(arm=arm, release=""))


def _possible(n: int, worse: int, better: int, difference: int, squared: int) -> bool:
    differing = worse + better
    return differing <= n and abs(difference) <= differing * UNIT and squared <= differing * UNIT


def _grown(event: EvidenceGathered, last: Counted, arm: str) -> ArmCounts | None:
    now, before = exposure(counted(event), arm), exposure(last, arm)
    latency = {bin_: now.latency.get(bin_, 0) - before.latency.get(bin_, 0) for bin_ in {*now.latency, *before.latency}}
    grown = ArmCounts(
        answered=now.answered - before.answered,
        asked=now.scored + now.failures + now.late - before.scored - before.failures - before.late,
        failures=now.failures - before.failures,
        latency={bin_: count for bin_, count in sorted(latency.items()) if count},
    )
    if min(grown.answered, grown.asked, grown.failures, 0, *grown.latency.values()) < 0:
        return None
    return grown if grown.failures <= grown.asked else None


def _absurdity(event: EvidenceGathered) -> str:
    counts = [event.n, event.worse, event.better, event.difference_squared, *event.covers.values()]
    for arm in event.arms:
        counts += [arm.answered, arm.scored, arm.failures, arm.late, *arm.latency, *arm.latency.values()]
    wrong = [count for count in counts if not _is_count(count)]
    if wrong:
        return f"{wrong[0]!r} is not a count"
    difference = event.difference
    if isinstance(difference, bool) or not isinstance(difference, int) or abs(difference) > LARGEST_COUNT:
        return f"{difference!r} is not a sum of differences"
    complaints = {
        "a latency lies outside the histogram": any(bin_ > LARGEST_LATENCY_BIN for arm in event.arms for bin_ in arm.latency),
        "an arm is named twice": len({arm.arm for arm in event.arms}) != len(event.arms),
        "it does not say what it covers": not event.covers,
        "the sums do not fit the number of pairs": not _possible(
            event.n, event.worse, event.better, difference, event.difference_squared
        ),
    }
    return next((complaint for complaint, holds in complaints.items() if holds), "")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT
