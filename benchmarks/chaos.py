"""The system under faults: seeded schedules of the real core, planted bugs, a crash at every named point, and a takeover.

`make bench NAME=chaos` (`QUICK=1`: about a minute; `SEED=…`: other schedules). The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from homeostat.chaos.hunt import Report, all_caught, hunt
from homeostat.chaos.planted_bugs import ALL as BUGS
from homeostat.chaos.tally import missing_kinds
from streams import crash_points

SCHEDULES: Final = 100_000
QUICK_SCHEDULES: Final = 1_000
SCHEDULES_A_BUG: Final = 1_000
QUICK_SCHEDULES_A_BUG: Final = 150
QUICK_POINTS: Final = 4
"""Spread over all of them."""


def say(line: str) -> None:
    """Show progress."""
    print(line, flush=True)


def simulated(seed: int, schedules: int) -> Report:
    """Schedules in two processes; what is wrong is told at once."""
    report = hunt(seed, schedules, say=say)
    for what in report.faults()[:20]:
        say(f"BROKEN {what}")
    tally = report.tally
    say(f"{tally.records} records of control; decisions: {dict(sorted(tally.kinds.items()))}; never: {missing_kinds(tally)}")
    for kind, tried in sorted(tally.tried.items()):
        say(f"{kind}: {tried} tried, {tally.proved[kind]} proved no worse in shadow, {tally.promoted[kind]} promoted")
    return report


def mutants_caught(seed: int, schedules: int) -> int:
    """Planted bugs that some schedule shows."""
    caught = 0
    for name, found in all_caught(seed, schedules):
        say(f"planted {name}: {found or 'NOT SEEN'}")
        caught += bool(found)
    return caught


def crashed(directory: Path, points: Sequence[str]) -> tuple[int, float]:
    """On real brokers: points after whose crash the restarted system was clean, and the seconds of a takeover."""
    from homeostat.chaos.crash_sweep import sweep
    from homeostat.chaos.takeover import takeover_s

    # A broker each: the agents of the sweep wait for ever for the policies of others' models.
    with on_a_broker(directory / "sweep") as servers:
        clean = sum(outcome.clean for outcome in sweep(servers, directory / "crashes", points, say))
    with on_a_broker(directory / "pair") as servers:
        taken_over = round(takeover_s(servers, directory / "takeover"), 2)
    say(f"taken over after {taken_over} s")
    return clean, taken_over


@contextmanager
def on_a_broker(directory: Path) -> Iterator[str]:
    """The address of a broker with all topics and nothing else."""
    from streams.adapters.embedded_broker import EmbeddedBroker
    from streams.adapters.topic_admin import create_topics

    directory.mkdir(parents=True)
    broker = EmbeddedBroker(directory)
    broker.start(timeout_s=120.0)
    try:
        create_topics(broker.bootstrap_servers)
        yield broker.bootstrap_servers
    finally:
        broker.stop()


def spread(points: Sequence[str], wanted: int) -> Sequence[str]:
    """So many of them, evenly."""
    return points[:: max(len(points) // wanted, 1)][:wanted]


def main() -> None:
    """Run, and print the figures."""
    seed, quick = int(os.environ.get("SEED", "0")), os.environ.get("QUICK", "") == "1"
    schedules = QUICK_SCHEDULES if quick else SCHEDULES
    report = simulated(seed, schedules)
    caught = mutants_caught(seed, QUICK_SCHEDULES_A_BUG if quick else SCHEDULES_A_BUG)
    points = spread(crash_points.ALL, QUICK_POINTS) if quick else crash_points.ALL
    with tempfile.TemporaryDirectory() as place:
        clean, taken_over = crashed(Path(place), points)
    figures = {
        "schedules": report.tally.schedules,
        "invariant_violations": len(report.violations),
        "error_rates_kept": not report.tally.faults(),
        "mutants": len(BUGS),
        "mutants_caught": caught,
        "crash_points": len(points),
        "crash_points_clean": clean,
        "takeover_s": taken_over,
        "seed": seed,
        "quick": quick,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
