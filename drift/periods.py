"""Losses by period of event time: when a period is closed, its losses are told once, and later labels are only counted.

A period closes when labels have passed its end plus the maturity, and either every prediction made in it has its label
(at once) or so many ticks of broker time have gone by. Periods close in order.

Stretches of event time can be left out (`leave_out`): what was predicted in them counts for nothing, predictions and labels
alike, so that a period still closes. The newest periods are kept in PARTS for that; an older one is left out whole. A period of
which nothing is left closes without a word: told with no rows, it would pass for one whose labels are out, over which
staleness grows as it grew before, and might buy a training on nothing but a data bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from streams.events import WindowCounted
from streams.policy import StalenessPolicy
from streams.topics import LABELS

GRACE_TICKS: Final = 50
"""Ticks of broker time for which a period waits for labels that are out."""
MOST_OPEN: Final = 2_000
"""Periods kept open; beyond that the oldest closes with what it has."""
MINUTE: Final = 60
PARTS: Final = 48
"""Of a period, in whole minutes: so exactly is a stretch cut out."""
IN_PARTS: Final = 8
"""Newest open periods that are kept in parts: a bug is called long before it is so old."""
MOST_LEFT_OUT: Final = 64
"""Stretches remembered; the two oldest become one beyond that."""


class Tally(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One release in one period: predictions made, labels come, losses in UNITs."""

    made: int = 0
    n: int = 0
    loss: int = 0
    loss_squared: int = 0

    def plus(self, *, made: int = 0, n: int = 0, loss: int = 0, loss_squared: int = 0) -> Tally:
        """Both together."""
        return Tally(made=self.made + made, n=self.n + n, loss=self.loss + loss, loss_squared=self.loss_squared + loss_squared)

    def added(self, other: Tally) -> Tally:
        """Both tallies together."""
        return self.plus(made=other.made, n=other.n, loss=other.loss, loss_squared=other.loss_squared)


class OpenPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A period that still counts. `ripe_tick`: the newest tick when labels had passed its end and maturity; -1: not yet."""

    releases: dict[str, Tally] = {}
    """What is no longer kept in parts."""
    ripe_tick: int = -1
    parts: dict[int, dict[str, Tally]] = {}
    """By number of the part (whole parts since 1970)."""

    def total(self) -> dict[str, Tally]:
        """By release."""
        tallies = dict(self.releases)
        for part in self.parts.values():
            for release, tally in part.items():
                tallies[release] = tallies.get(release, Tally()).added(tally)
        return tallies

    @property
    def complete(self) -> bool:
        """Whether all labels are in. More labels than predictions show that windows of predictions are still to come."""
        return all(tally.n == tally.made for tally in self.total().values())


class Periods(msgspec.Struct, frozen=True, kw_only=True):
    """The periods of one model."""

    seconds: int
    open: dict[int, OpenPeriod] = {}
    closed_until: int = -(2**62)
    """Event time (epoch seconds) before which everything is closed."""
    labels_until: datetime | None = None
    """Label watermark."""
    newest_tick: int = -1
    late: int = 0
    """Labels and predictions that came after their period was closed."""
    left_out: tuple[tuple[int, int], ...] = ()
    """Stretches [from, to) of event minutes that count for nothing, in order, as long as one of their periods is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedPeriod:
    """One period, closed, with its releases in order."""

    period: int
    seconds: int
    why: str
    releases: tuple[tuple[str, Tally], ...]


def count(periods: Periods, window: WindowCounted, policy: StalenessPolicy) -> tuple[Periods, tuple[ClosedPeriod, ...]]:
    """Add what a window says of losses and predictions made, and close what can be closed."""
    periods = _at_length(periods, max(int(policy.period.total_seconds()), 1))
    opened, late = _added(periods, window)
    labels_until = periods.labels_until
    if window.topic == LABELS and (labels_until is None or window.at > labels_until):
        labels_until = window.at
    newest_tick = max(periods.newest_tick, window.tick)
    if labels_until is not None:
        passed = int((labels_until - policy.maturity).timestamp())
        for period, one in opened.items():
            if one.ripe_tick < 0 and (period + 1) * periods.seconds <= passed:
                opened[period] = msgspec.structs.replace(one, ripe_tick=newest_tick)
    closed = tuple(_closable(opened, newest_tick, periods.seconds))
    for ended in closed:
        del opened[ended.period]
    until = (closed[-1].period + 1) * periods.seconds if closed else periods.closed_until
    return Periods(
        seconds=periods.seconds,
        open=_in_parts(opened),
        closed_until=until,
        labels_until=labels_until,
        newest_tick=newest_tick,
        late=periods.late + late,
        left_out=tuple(stretch for stretch in periods.left_out if stretch[1] * MINUTE > until),
    ), closed


def leave_out(periods: Periods, since: datetime, until: datetime) -> Periods:
    """Let nothing count that was predicted from `since` to `until`, come or still to come; whole parts, and whole old periods."""
    part = _part_minutes(periods.seconds)
    first = _minute(since) // part * part
    last = (_minute(until) // part + 1) * part
    opened = dict(periods.open)
    for period, one in periods.open.items():
        begin, end = period * periods.seconds // MINUTE, -(-(period + 1) * periods.seconds // MINUTE)
        if end <= first or begin >= last:
            continue
        if one.releases:  # not known by parts: all of it
            first, last = min(first, begin), max(last, end)
        kept = {number: tallies for number, tallies in one.parts.items() if not first <= number * part < last}
        opened[period] = msgspec.structs.replace(one, releases={}, parts={} if one.releases else kept)
    return msgspec.structs.replace(periods, open=opened, left_out=_joined((*periods.left_out, (first, last))))


def _joined(stretches: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """In order, none touching another, MOST_LEFT_OUT at most."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(stretches):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    if len(joined) > MOST_LEFT_OUT:
        joined[:2] = [(joined[0][0], joined[1][1])]
    return tuple(joined)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // MINUTE


def _part_minutes(seconds: int) -> int:
    return max(seconds // MINUTE // PARTS, 1)


def _in_parts(opened: dict[int, OpenPeriod]) -> dict[int, OpenPeriod]:
    """All but the newest periods give up their parts."""
    for period in sorted(opened)[:-IN_PARTS]:
        one = opened[period]
        if one.parts:
            opened[period] = msgspec.structs.replace(one, releases=one.total(), parts={})
    return opened


def _added(periods: Periods, window: WindowCounted) -> tuple[dict[int, OpenPeriod], int]:
    opened, late = dict(periods.open), 0
    changes = [(made.minute, made.release, {"made": made.n}) for made in window.made]
    changes += [
        (losses.minute, losses.release, {"n": losses.n, "loss": losses.loss, "loss_squared": losses.loss_squared})
        for losses in window.losses
    ]
    newest = sorted(periods.open)[-IN_PARTS:]
    part = _part_minutes(periods.seconds)
    for minute, release, change in changes:
        period = minute * MINUTE // periods.seconds
        if minute * MINUTE < periods.closed_until:
            late += change.get("n", 0) + change.get("made", 0)
            continue
        if any(first <= minute < last for first, last in periods.left_out):
            continue
        one = opened.get(period, OpenPeriod())
        if len(newest) == IN_PARTS and period < newest[0]:
            tally = one.releases.get(release, Tally()).plus(**change)
            opened[period] = msgspec.structs.replace(one, releases={**one.releases, release: tally})
            continue
        tallies = one.parts.get(minute // part, {})
        tallies = {**tallies, release: tallies.get(release, Tally()).plus(**change)}
        opened[period] = msgspec.structs.replace(one, parts={**one.parts, minute // part: tallies})
    return opened, late


def _closable(opened: dict[int, OpenPeriod], newest_tick: int, seconds: int) -> Iterable[ClosedPeriod]:
    """From the oldest on, until one has to wait."""
    excess = len(opened) - MOST_OPEN
    for place, period in enumerate(sorted(opened)):
        one = opened[period]
        ripe = one.ripe_tick >= 0
        if ripe and one.complete:
            why = "all labels are in"
        elif ripe and newest_tick - one.ripe_tick >= GRACE_TICKS:
            why = f"labels were waited for during {GRACE_TICKS} ticks"
        elif place < excess:
            why = f"more than {MOST_OPEN} periods were open"
        else:
            return
        yield ClosedPeriod(period=period, seconds=seconds, why=why, releases=tuple(sorted(one.total().items())))


def _at_length(periods: Periods, seconds: int) -> Periods:
    """The same periods under a new length: what is open moves, whole, into the new period in which it began."""
    if periods.seconds == seconds:
        return periods
    moved: dict[int, OpenPeriod] = {}
    for period, one in sorted(periods.open.items()):
        target = period * periods.seconds // seconds
        releases = dict(moved.get(target, OpenPeriod()).releases)
        for release, tally in one.total().items():
            releases[release] = releases.get(release, Tally()).added(tally)
        moved[target] = OpenPeriod(releases=releases)
    return msgspec.structs.replace(periods, seconds=seconds, open=moved)
