"""Many schedules, in processes of their own: what they break, and what they came to together."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Final

from homeostat.chaos import planted_bugs
from homeostat.chaos.simulator import simulate
from homeostat.chaos.tally import Tally

BATCH: Final = 100


@dataclass(slots=True)
class Report:
    """Violations, each with the seed that shows it again, and the tally of all schedules."""

    violations: list[tuple[int, str]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def add(self, other: Report) -> None:
        """Both together."""
        self.violations += other.violations
        self.tally.add(other.tally)

    def faults(self) -> list[str]:
        """Everything that is wrong, a person's way to see it again first."""
        again = [f"python -m homeostat.chaos.simulator {seed}: {what}" for seed, what in self.violations]
        return again + self.tally.faults()


def hunt(first_seed: int, schedules: int, *, processes: int = 2, say: Callable[[str], None] = lambda _: None) -> Report:
    """Run so many schedules from a seed on."""
    report = Report()
    batches = [(seed, min(BATCH, first_seed + schedules - seed)) for seed in range(first_seed, first_seed + schedules, BATCH)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, part in enumerate(pool.imap_unordered(_batch, batches), start=1):
            report.add(part)
            if number % 10 == 0 or number == len(batches):
                say(f"{report.tally.schedules} schedules, {len(report.violations)} violations")
    report.violations.sort()
    return report


def caught(bug: planted_bugs.Planted | None, first_seed: int, schedules: int) -> str:
    """What gave a planted bug away, with its seed; '' when so many schedules showed nothing. None: no bug is planted."""
    tally = Tally()
    with nullcontext() if bug is None else bug.plant():
        for seed in range(first_seed, first_seed + schedules):
            outcome = simulate(seed)
            if outcome.violations:
                return f"seed {seed}: {outcome.violations[0]}"
            tally.add(outcome.tally)
    return next(iter(tally.faults()), "")


def all_caught(first_seed: int, schedules: int, *, processes: int = 2) -> Iterator[tuple[str, str]]:
    """Each planted bug by name, with what gave it away."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_caught, [(bug.name, first_seed, schedules) for bug in planted_bugs.ALL])


def _batch(seeds: tuple[int, int]) -> Report:
    report = Report()
    for seed in range(seeds[0], seeds[0] + seeds[1]):
        outcome = simulate(seed)
        report.violations += [(seed, what) for what in outcome.violations]
        report.tally.add(outcome.tally)
    return report


def _caught(wanted: tuple[str, int, int]) -> tuple[str, str]:
    name, first_seed, schedules = wanted
    return name, caught(planted_bugs.named(name), first_seed, schedules)
