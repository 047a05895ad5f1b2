"""The healing loop replayed without Kafka on the electricity stream, in order and shuffled, beside the clock and no training.

`make bench NAME=loop_replay` (`QUICK=1`: fewer copies). The last line is one JSON object; see docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
import statistics
from typing import Final

import msgspec
import numpy as np

from homeostat.demo.results import block_interval
from homeostat.demo.stream import DATA
from homeostat.demo_policy import DEMO_POLICY
from homeostat.electricity import Columns, load
from homeostat.offline import clock_errors, fit
from homeostat.offline_loop import LoopReplay, replay_loop
from streams.policy import Policy

LOOKS: Final = (6, 10, 17, 25, 50)
"""Rows between two looks at the evidence: what a machine's speed decides in the real loop."""


def perturbed(rng: np.random.Generator) -> Policy:
    """The demo's policy with a window up to 90 rows longer or shorter: the same experiment with other luck."""
    window = DEMO_POLICY.training.window_rows + int(rng.integers(-90, 91))
    return msgspec.structs.replace(DEMO_POLICY, training=msgspec.structs.replace(DEMO_POLICY.training, window_rows=window))


def told(kind: str, number: int, copy: LoopReplay) -> LoopReplay:
    """Show progress."""
    print(f"{kind} {number}: {copy.trainings} trainings, {len(copy.promoted)} promoted, accuracy {copy.accuracy:.4f}", flush=True)
    return copy


def in_order(columns: Columns, copies: int, seed: int) -> list[LoopReplay]:
    """Copies of the replay in order, each with other luck."""
    rng = np.random.default_rng(seed)
    return [
        told("in order", number, replay_loop(columns, perturbed(rng), look_rows=int(rng.choice(LOOKS)), seed=seed + number))
        for number in range(copies)
    ]


def proved(copy: LoopReplay, columns: Columns) -> bool:
    """Whether the 95 % interval of served over frozen, by weeks after the first promotion, excludes 0: what the demo asks."""
    if not copy.promoted:
        return False
    begin = copy.promoted[0].ended - columns.first_rows
    frozen = fit(columns, 0, columns.first_rows).wrong[columns.first_rows :]
    interval = block_interval(frozen[begin:].astype(np.float64) - copy.wrong[begin:].astype(np.float64))
    return interval is not None and interval.low > 0.0


def main() -> None:
    """Run, and print the figures."""
    seed, quick = int(os.environ.get("SEED", "0")), os.environ.get("QUICK", "") == "1"
    copies, shuffles = (10, 10) if quick else (40, 26)
    columns = load(DATA)
    frozen = 1.0 - float(fit(columns, 0, columns.first_rows).wrong[columns.first_rows :].mean())
    ordered = in_order(columns, copies, seed)
    nulls = [
        told("shuffled", number, replay_loop(columns.shuffled(seed + number), DEMO_POLICY, seed=seed))
        for number in range(shuffles)
    ]
    clocks = {k: 1.0 - float(clock_errors(columns, k).mean()) for k in sorted({copy.trainings for copy in ordered})}
    gains = [copy.accuracy - clocks[copy.trainings] for copy in ordered]
    served = [copy.accuracy for copy in ordered]
    shown = [proved(copy, columns) for copy in ordered]
    shadows = [statistics.median([tried.shadow_labelled for tried in copy.promoted]) for copy in ordered if copy.promoted]
    figures = {
        "accuracy_served_mean": round(statistics.fmean(served), 4),
        "accuracy_served_min": round(min(served), 4),
        "accuracy_served_max": round(max(served), 4),
        "accuracy_frozen": round(frozen, 4),
        "over_clock_mean": round(statistics.fmean(gains), 4),
        "over_clock_share": round(statistics.fmean([gain > 0 for gain in gains]), 3),
        "trainings_mean": round(statistics.fmean([copy.trainings for copy in ordered]), 2),
        "rows_due_to_promoted": statistics.median(
            [statistics.median([tried.ended - tried.due for tried in copy.promoted]) for copy in ordered if copy.promoted]
        ),
        "shadow_labelled_rows": statistics.median(shadows),
        "over_frozen_proved_share": round(statistics.fmean(shown), 3),
        "copies": copies,
        "null_trainings": [copy.trainings for copy in nulls],
        "null_none_share": round(statistics.fmean([copy.trainings == 0 for copy in nulls]), 3),
        "shuffles": shuffles,
        "seed": seed,
        "quick": quick,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
