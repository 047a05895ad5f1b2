"""Losses by period of event time: when a period is closed, its losses are told once, and later labels are only counted.

A period closes when labels have passed its end plus the maturity, and either every prediction made in it has its label
(at once) or so many ticks of broker time have gone by. Periods close in order.
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


class Tally(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One release in one period: predictions made, labels come, losses in UNITs."""

    made: int = 0
    n: int = 0
    loss: int = 0
    loss_squared: int = 0

    def plus(self, *, made: int = 0, n: int = 0, loss: int = 0, loss_squared: int = 0) -> Tally:
        """Both together."""
        return Tally(made=self.made + made, n=self.n + n, loss=self.loss + loss, loss_squared=self.loss_squared + loss_squared)


class OpenPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A period that still counts. `ripe_tick`: the newest tick when labels had passed its end and maturity; -1: not yet."""

    releases: dict[str, Tally] = {}
    ripe_tick: int = -1

    @property
    def complete(self) -> bool:
        """Whether all labels are in. More labels than predictions show that windows of predictions are still to come."""
        return all(tally.n == tally.made for tally in self.releases.values())


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
        open=opened,
        closed_until=until,
        labels_until=labels_until,
        newest_tick=newest_tick,
        late=periods.late + late,
    ), closed


def _added(periods: Periods, window: WindowCounted) -> tuple[dict[int, OpenPeriod], int]:
    opened, late = dict(periods.open), 0
    changes = [(made.minute, made.release, {"made": made.n}) for made in window.made]
    changes += [
        (losses.minute, losses.release, {"n": losses.n, "loss": losses.loss, "loss_squared": losses.loss_squared})
        for losses in window.losses
    ]
    for minute, release, change in changes:
        period = minute * MINUTE // periods.seconds
        if minute * MINUTE < periods.closed_until:
            late += change.get("n", 0) + change.get("made", 0)
            continue
        one = opened.get(period, OpenPeriod())
        tally = one.releases.get(release, Tally()).plus(**change)
        opened[period] = msgspec.structs.replace(one, releases={**one.releases, release: tally})
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
        yield ClosedPeriod(period=period, seconds=seconds, why=why, releases=tuple(sorted(one.releases.items())))


def _at_length(periods: Periods, seconds: int) -> Periods:
    """The same periods under a new length: what is open moves, whole, into the new period in which it began."""
    if periods.seconds == seconds:
        return periods
    moved: dict[int, OpenPeriod] = {}
    for period, one in sorted(periods.open.items()):
        target = period * periods.seconds // seconds
        releases = dict(moved.get(target, OpenPeriod()).releases)
        for release, tally in one.releases.items():
            before = releases.get(release, Tally())
            releases[release] = before.plus(made=tally.made, n=tally.n, loss=tally.loss, loss_squared=tally.loss_squared)
        moved[target] = OpenPeriod(releases=releases)
    return msgspec.structs.replace(periods, seconds=seconds, open=moved)
