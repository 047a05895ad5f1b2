"""When to retrain: our staleness rule against schedules, alarms and hindsight, by cost = loss + price x trainings.

`make bench NAME=heal` (`QUICK=1`: about a minute; `SEED=…`: other generated streams). Real and generated streams, prices over a
64-fold range; trainings take no time and pass no gate. At last, unless QUICK, the real system runs once, some minutes, and is held
against its own offline replay. The last line is one JSON object; see docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from benchmarks.healing.always_learning import AlwaysLearning
from benchmarks.healing.cells import VARIANTS, Cell, cells
from benchmarks.healing.comparison import chosen, ratios, told
from benchmarks.healing.curve import curve
from benchmarks.healing.fits import recipe
from benchmarks.healing.live import live, not_run
from benchmarks.healing.null_copies import NullRuns, null_runs
from benchmarks.healing.ours import ours
from benchmarks.healing.shown import show
from benchmarks.healing.stream import Stream
from benchmarks.healing.streams import NAMES, REAL, stream
from benchmarks.healing.tables import Table, build

COPIES: Final = 2
"""Of each generated stream."""
NULL_COPIES: Final = 20
NULL_STREAMS: Final = ("electricity", "none")
QUICK_NAMES: Final = tuple(name for name in NAMES if name != "flights")
QUICK_PERIODS: Final = 60
CURVE_OF: Final = "electricity"


@dataclass(slots=True)
class Measured:
    """What is kept of the tables once they are gone."""

    cells: list[Cell] = field(default_factory=list)
    equivalents: dict[str, list[float]] = field(default_factory=dict)
    """Trainings that take as long as the challenger, by stream."""
    periods: dict[str, int] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)

    def take(self, table: Table, name: str, copy: int) -> None:
        """Replay everything over one table."""
        self.cells += cells(table, name, copy)
        self.equivalents.setdefault(name, []).append(table.seconds.challenger / table.seconds.fit)
        self.periods[name] = table.stream.periods
        if name == CURVE_OF:
            self.curve = curve(table, ours)


def say(line: str) -> None:
    """Show progress."""
    print(line, flush=True)


def chosen_streams(seed: int, *, quick: bool) -> Iterator[tuple[str, int, Stream]]:
    """Name, copy and stream of each that is replayed."""
    for name in QUICK_NAMES if quick else NAMES:
        for copy in range(1 if quick or name in REAL else COPIES):
            whole = stream(name, seed + copy)
            yield name, copy, whole.head(QUICK_PERIODS) if quick else whole


def measured(seed: int, *, quick: bool) -> Measured:
    """All streams, a table at a time."""
    found = Measured()
    for name, copy, one in chosen_streams(seed, quick=quick):
        began = time.perf_counter()
        table = build(one, AlwaysLearning, seed=seed)
        found.take(table, name, copy)
        lost, frozen = table.mean_loss_trained_every_period / one.period_rows, table.trained_sums[0].mean() / one.period_rows
        say(
            f"{name} {copy}: {one.periods} periods of {one.period_rows} rows, {time.perf_counter() - began:.0f} s; mean loss "
            f"{lost:.4f} trained each period, {frozen:.4f} never, {table.challenger_sums.mean() / one.period_rows:.4f} challenger"
        )
    return found


def nulls(seed: int, *, quick: bool) -> list[NullRuns]:
    """Our policy where nothing changes."""
    found = []
    for name in NULL_STREAMS:
        whole = stream(name, seed)
        one = whole.head(QUICK_PERIODS) if quick else whole
        runs = null_runs(one, NULL_COPIES, seed, challenger=AlwaysLearning, fit=recipe(seed), policy=ours)
        say(
            f"{name} shuffled, {NULL_COPIES} copies: in 1,000 periods by price {rates(runs)} trainings, {rates(runs, swaps=True)} swaps"
        )
        found.append(runs)
    return found


def rates(runs: NullRuns, *, swaps: bool = False) -> dict[str, float]:
    """In 1,000 periods, by price."""
    return {f"{rho:g}": round(runs.rate(counts), 2) for rho, counts in (runs.swaps if swaps else runs.trainings).items()}


def figures(found: Measured, null: list[NullRuns]) -> dict[str, object]:
    """All of them, but for seed and size."""
    rivals = chosen(found.cells)
    names = list(found.periods)
    equivalents = {name: round(statistics.fmean(values), 2) for name, values in found.equivalents.items()}
    return {
        **ratios(found.cells, rivals),
        "null_trainings_per_1000_periods": round(statistics.fmean(rate for runs in null for rate in rates(runs).values()), 2),
        "electricity_curve": found.curve,
        "challenger_training_equivalents": round(statistics.fmean(equivalents.values()), 2),
        "best_fixed": rivals.fixed,
        "best_fixed_by_price": {f"{rho:g}": name for rho, name in rivals.fixed_by_price.items()},
        "best_swapping_schedule": rivals.swapping,
        "best_alarm": rivals.alarm,
        "streams": len(names),
        "cells": len(found.cells),
        "null_copies": NULL_COPIES * len(null),
        "detail": {
            "variants": {variant: ratios(found.cells, rivals, variant) for variant in VARIANTS},
            "by_stream": {name: ratios([c for c in found.cells if c.stream == name], rivals) for name in names},
            "by_price": {f"{rho:g}": ratios([c for c in found.cells if c.rho == rho], rivals) for rho in rivals.fixed_by_price},
            "cells": [told(cell) for cell in found.cells],
            "null_trainings_per_1000_periods": {runs.stream: rates(runs) for runs in null},
            "null_swaps_per_1000_periods": {runs.stream: rates(runs, swaps=True) for runs in null},
            "challenger_training_equivalents": equivalents,
            "periods": found.periods,
        },
    }


def main() -> None:
    """Run, and print the figures."""
    seed, quick = int(os.environ.get("SEED", "0")), os.environ.get("QUICK", "") == "1"
    found = measured(seed, quick=quick)
    null = nulls(seed, quick=quick)
    show(found.cells)
    running = not_run("QUICK: nothing is bought in the rows that a short run has time for") if quick else live(seed)
    print(json.dumps({**figures(found, null), **running, "seed": seed, "quick": quick}))


if __name__ == "__main__":
    main()
