"""Where the time of a run goes."""

from __future__ import annotations

from collections.abc import Callable


class Stopwatch:
    """Laps of a clock that is passed in.

    >>> ticks = iter([10.0, 12.0, 15.0, 15.0])
    >>> watch = Stopwatch(lambda: next(ticks))
    >>> watch.lap("dataset"), watch.lap("fit"), watch.laps, watch.total
    (2.0, 3.0, {'dataset': 2.0, 'fit': 3.0}, 5.0)
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._start = self._last = seconds()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> float:
        """Close a lap and return its length; laps of one name add up."""
        now = self._seconds()
        length, self._last = now - self._last, now
        self.laps[name] = self.laps.get(name, 0.0) + length
        return length

    @property
    def total(self) -> float:
        """Since the start."""
        return self._seconds() - self._start

    def left(self, limit_s: float) -> float:
        """What is left of a limit; never negative."""
        return max(limit_s - self.total, 0.0)
