"""The real system once on the electricity stream: does it buy what the offline replay buys, and how long is the loop's own part?"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import typer

from benchmarks.healing.live_log import LiveLog, kept_log
from benchmarks.healing.orchestration import orchestration
from benchmarks.healing.purchases import Purchase, agreement, live_purchases, refolds, replay_purchases
from config.settings import load
from homeostat.commands.demo import demo
from homeostat.commands.output import Failure
from homeostat.demo.stream import HEALED, StreamPart, streams
from homeostat.demo_policy import ROLLOUT_SYNC_ROWS, demo_policy
from homeostat.offline_challenger import challenge
from homeostat.offline_loop import replay_loop
from homeostat.offline_result import LoopReplay
from streams.policy import StalenessPolicy
from trainer.adapters.ray_process import own_signal_handlers

ROWS: Final = 10_000
"""Of each of the demo's two streams, after their first tenths. The first purchase comes some 1,800 rows behind those."""
OTHER_LOOK_ROWS: Final = 17
"""Rows between two looks at the evidence, in a replay with other luck."""
KEYS: Final = (
    "live_matches_replay",
    "live_matches_replay_within_1",
    "live_parts_at_period",
    "live_purchases",
    "replay_purchases",
    "replay_matches_replay",
    "live_refolds",
    "orchestration_s",
    "orchestration_parts_s",
    "orchestration_counts",
)


def not_run(reason: str) -> dict[str, Any]:
    """The keys without figures."""
    return {**dict.fromkeys(KEYS), "live_skipped": reason}


def live(seed: int, rows: int = ROWS) -> dict[str, Any]:
    """Run it in a directory of its own, some minutes, and read its log; null figures and the reason where it cannot go on."""
    data = Path(tempfile.mkdtemp(prefix="homeostat-heal-"))
    try:
        with own_signal_handlers():  # the demo has its own, and ends by itself; behind it, whoever measures goes on as before
            _run_demo(data, seed, rows)
    except Failure as failure:
        return not_run(str(failure))
    found = figures(kept_log(load(str(data), environment={}), HEALED), streams(seed, rows)[HEALED], seed)
    shutil.rmtree(data, ignore_errors=True)
    return found


def figures(log: LiveLog, part: StreamPart, seed: int) -> dict[str, Any]:
    """All keys, and the purchases themselves."""
    policy = demo_policy(seed)
    bought = live_purchases(log)
    replayed = replay_purchases(_replay(part, seed, ROLLOUT_SYNC_ROWS), policy.staleness)
    # How far two replays agree that differ in luck alone bounds what can be asked of the real loop.
    other = replay_purchases(_replay(part, seed + 1, OTHER_LOOK_ROWS), policy.staleness)
    agrees, delays = agreement(bought, replayed), orchestration(log)
    return {
        "live_matches_replay": agrees.share,
        "live_matches_replay_within_1": agrees.near_share,
        "live_parts_at_period": agrees.parts_at,
        "live_purchases": len(bought),
        "replay_purchases": len(replayed),
        "replay_matches_replay": agreement(other, replayed).share,
        "live_refolds": refolds(log),
        "orchestration_s": delays.total,
        "orchestration_parts_s": delays.medians,
        "orchestration_counts": delays.counts,
        "live_skipped": "",
        "live_detail": {
            "live": [_told(one, policy.staleness) for one in bought],
            "replay": [_told(one, policy.staleness) for one in replayed],
            "other_replay": [_told(one, policy.staleness) for one in other],
            "orchestration_s": {part: [round(each, 3) for each in found] for part, found in delays.seconds.items()},
        },
    }


def _replay(part: StreamPart, seed: int, look_rows: int) -> LoopReplay:
    """With the demo's policy; the seed is that of the challenger and of who answers which row."""
    policy = demo_policy(seed)
    challenger = challenge(part, first_rows=part.first_rows, memory_rows=policy.training.window_rows, seed=seed)
    return replay_loop(part, policy, look_rows=look_rows, seed=seed, challenger=challenger)


def _told(purchase: Purchase, policy: StalenessPolicy) -> dict[str, int | str]:
    return {"period": purchase.period, "row": purchase.row_of(policy), "kind": purchase.kind.value}


def _run_demo(data: Path, seed: int, rows: int) -> None:
    # It says what so short a run did not show, and ends with a status; that is judged elsewhere.
    with suppress(typer.Exit):
        demo(keep=data, seed=seed, rows=rows, report=data / "report.html")
