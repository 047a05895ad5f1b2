"""The sweep: at every named point a process is killed and started again, and what is left is one whole state, old or new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeostat.chaos.crashes import (
    agents_crashes,
    controller_crashes,
    monitor_crashes,
    registration_crashes,
    serving_crashes,
    trainer_crashes,
)
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.verdict import Unclean

_CRASHES: Final[dict[str, Callable[[Site, str], None]]] = {
    "registration": registration_crashes.crash,
    "controller": controller_crashes.crash,
    "mirror": controller_crashes.crash,
    "trainer": trainer_crashes.crash,
    "serving": serving_crashes.crash,
    "monitor": monitor_crashes.crash,
    "agents": agents_crashes.crash,
}
"""By the place that a point's name begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One point. `why`: what was found that must not be; empty where it is clean."""

    point: str
    clean: bool
    why: str = ""


def crash_at(site: Site, point: str, ahead: Sequence[str] = ()) -> Outcome:
    """One crash and its consequences. The site serves for any number of them; `ahead`: those that come next."""
    site.ahead = tuple(ahead)
    try:
        _CRASHES[point.partition(":")[0]](site, point)
    except Unclean as unclean:
        return Outcome(point=point, clean=False, why=str(unclean))
    return Outcome(point=point, clean=True)


def sweep(bootstrap_servers: str, directory: Path, points: Sequence[str], say: Callable[[str], None]) -> list[Outcome]:
    """Crash at each of these points of streams/crash_points.py, on a broker that has all topics and nothing else on it."""
    directory.mkdir(parents=True, exist_ok=True)
    site = Site(bootstrap_servers, directory)
    outcomes = []
    try:
        for number, point in enumerate(points, 1):
            outcomes.append(crash_at(site, point, points[number:]))
            say(f"{point}: {'clean' if outcomes[-1].clean else outcomes[-1].why}")
    finally:
        site.close()
    return outcomes
