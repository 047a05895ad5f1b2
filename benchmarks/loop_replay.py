"""The healing loop replayed without Kafka on the electricity stream: in order, shuffled, and in a world that comes and goes.

Beside it the clock, no training, and the same loop without recall and without challenger. `make bench NAME=loop_replay` (`QUICK=1`: fewer copies). The last line is one JSON object; see docs/benchmarks.md.
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
from homeostat.offline_challenger import OfflineChallenger, challenge
from homeostat.offline_loop import replay_loop
from homeostat.offline_result import LoopReplay
from streams.policy import Policy

LOOKS: Final = (6, 10, 17, 25, 50)
"""Rows between two looks at the evidence: what a machine's speed decides in the real loop."""

TURN_ROWS: Final = 2_000
TURNS: Final = 10
"""Of the recurring stream; the first one is what the first release is trained on."""


def perturbed(rng: np.random.Generator, policy: Policy = DEMO_POLICY) -> Policy:
    """The policy with a window up to 2 % longer or shorter: the same experiment with other luck."""
    most = policy.training.window_rows // 50
    window = policy.training.window_rows + int(rng.integers(-most, most + 1))
    return msgspec.structs.replace(policy, training=msgspec.structs.replace(policy.training, window_rows=window))


def without_recall(policy: Policy) -> Policy:
    """The same, where what is bought is always a training."""
    return msgspec.structs.replace(policy, recall=msgspec.structs.replace(policy.recall, enabled=False))


def told(kind: str, number: int, copy: LoopReplay) -> LoopReplay:
    """Show progress."""
    print(
        f"{kind} {number}: {copy.trainings} trainings, {copy.frozen} challengers, {len(copy.recalls)} recalls, "
        f"{len(copy.promoted)} promoted, "
        f"accuracy {copy.accuracy:.4f}",
        flush=True,
    )
    return copy


def challenged(columns: Columns, policy: Policy = DEMO_POLICY) -> OfflineChallenger:
    """The challenger over a stream; its memory is the policy's window, whatever a copy's is."""
    return challenge(columns, first_rows=columns.first_rows, memory_rows=policy.training.window_rows)


def in_order(
    columns: Columns,
    copies: int,
    seed: int,
    policy: Policy = DEMO_POLICY,
    kind: str = "in order",
    challenger: OfflineChallenger | None = None,
) -> list[LoopReplay]:
    """Copies of the replay in order, each with other luck."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(copies):
        chosen, look_rows = perturbed(rng, policy), int(rng.choice(LOOKS))
        copy = replay_loop(columns, chosen, look_rows=look_rows, seed=seed + number, challenger=challenger)
        found.append(told(kind, number, copy))
    return found


def recurring(columns: Columns, seed: int) -> Columns:
    """Rows in random order, where nothing changes but the world: as it was for two turns, turned, back, turned, and so on."""
    turned = [(turn * TURN_ROWS, (turn + 1) * TURN_ROWS) for turn in range(2, TURNS, 2)]
    return columns.shuffled(seed).part(0, TURNS * TURN_ROWS).turned(turned)


def in_turns(columns: Columns, copies: int, seed: int, policy: Policy, kind: str) -> list[LoopReplay]:
    """Copies of the recurring stream, each of other rows; no challenger. The window is half a turn: a longer one mixes the worlds."""
    short = msgspec.structs.replace(policy, training=msgspec.structs.replace(policy.training, window_rows=TURN_ROWS // 2))
    return [
        told(kind, number, replay_loop(recurring(columns, seed + number), short, look_rows=25, seed=seed + number))
        for number in range(copies)
    ]


def wrong_in_a_return(copies: list[LoopReplay]) -> float:
    """Wrong answers in a turn whose world had been there before, in the mean."""
    turns = [copy.wrong[turn * TURN_ROWS : (turn + 1) * TURN_ROWS].sum() for copy in copies for turn in range(2, TURNS - 1)]
    return round(float(np.mean(turns)), 1)


def recurring_figures(columns: Columns, copies: int, seed: int) -> dict[str, float]:
    """A world that comes back, with recall and without."""
    with_it = in_turns(columns, copies, seed, DEMO_POLICY, "in turns")
    without = in_turns(columns, copies, seed, without_recall(DEMO_POLICY), "in turns, no recall")
    return {
        "recurring_accuracy": round(statistics.fmean([copy.accuracy for copy in with_it]), 4),
        "recurring_accuracy_without_recall": round(statistics.fmean([copy.accuracy for copy in without]), 4),
        "recurring_trainings": round(statistics.fmean([copy.trainings for copy in with_it]), 2),
        "recurring_trainings_without_recall": round(statistics.fmean([copy.trainings for copy in without]), 2),
        "recurring_recalls": round(statistics.fmean([len(copy.recalls) for copy in with_it]), 2),
        "recurring_recalls_promoted": round(statistics.fmean([copy.recalls_promoted for copy in with_it]), 2),
        "recurring_wrong_in_a_return": wrong_in_a_return(with_it),
        "recurring_wrong_in_a_return_without_recall": wrong_in_a_return(without),
        "recurring_returns": TURNS - 3,
        "recurring_turn_rows": TURN_ROWS,
        "recurring_copies": copies,
    }


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
    copies, shuffles, turning = (10, 10, 3) if quick else (40, 26, 20)
    columns = load(DATA)
    frozen = 1.0 - float(fit(columns, 0, columns.first_rows).wrong[columns.first_rows :].mean())
    challenger = challenged(columns)
    ordered = in_order(columns, copies, seed, challenger=challenger)
    trained = in_order(columns, copies, seed, without_recall(DEMO_POLICY), "in order, no recall", challenger)
    alone = in_order(columns, copies, seed, kind="in order, no challenger")
    nulls = []
    for number in range(shuffles):
        shuffled = columns.shuffled(seed + number)
        nulls.append(told("shuffled", number, replay_loop(shuffled, DEMO_POLICY, seed=seed, challenger=challenged(shuffled))))
    clocks = {k: 1.0 - float(clock_errors(columns, k).mean()) for k in sorted({copy.made for copy in (*ordered, *alone)})}
    gains = [copy.accuracy - clocks[copy.made] for copy in ordered]
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
        "challengers_mean": round(statistics.fmean([copy.frozen for copy in ordered]), 2),
        "accuracy_without_challenger_mean": round(statistics.fmean([copy.accuracy for copy in alone]), 4),
        "trainings_without_challenger_mean": round(statistics.fmean([copy.trainings for copy in alone]), 2),
        "over_clock_without_challenger_mean": round(statistics.fmean([one.accuracy - clocks[one.made] for one in alone]), 4),
        "null_trainings": [copy.trainings for copy in nulls],
        "null_challengers": [copy.frozen for copy in nulls],
        "recalls_mean": round(statistics.fmean([len(copy.recalls) for copy in ordered]), 2),
        "recalls_promoted_mean": round(statistics.fmean([copy.recalls_promoted for copy in ordered]), 2),
        "accuracy_without_recall_mean": round(statistics.fmean([copy.accuracy for copy in trained]), 4),
        "trainings_without_recall_mean": round(statistics.fmean([copy.trainings for copy in trained]), 2),
        "null_recalls": [len(copy.recalls) for copy in nulls],
        "null_none_share": round(statistics.fmean([copy.made == 0 for copy in nulls]), 3),
        "shuffles": shuffles,
        **recurring_figures(columns, turning, seed),
        "seed": seed,
        "quick": quick,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
