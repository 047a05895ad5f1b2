"""The demo's constants, chosen with `homeostat.offline_loop` on this very stream, in order and shuffled.

So the demo's accuracy is not evidence for them elsewhere. The replay is chaotic: a few rows more or less in one training
lead to another history. Over 40 copies with windows up to 90 rows longer or shorter, other paces of looks and other luck of routing
(`make bench NAME=loop_replay`) it served .771 in the mean (.764 to .779; frozen .746), above the clock with as many
candidates in 37. Of 26 shuffles 4 start nothing; 1.2 trainings and .8 challengers in the mean.

A margin of 6 points at these disagreements needs about a hundred labelled rows: the canary's own delay eats what a training
gains, and proving 2 points would take ten times as long. Shadow judges the loss on 96 labelled rows at least, two whole
days, and the gate holds out as many: judged on a morning, labels that depend on each other in time decide by luck (with a
holdout of one day 8 of 12 copies passed).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from streams.policy import CanaryPolicy, Policy, StalenessPolicy, TrainingPolicy

LABEL_DELAY_ROWS: Final = 48
"""How far labels run behind the rows."""
IDLE_SYNC_ROWS: Final = 96
"""Rows between two waits of the sender for the loop, while nothing is rolled out."""
ROLLOUT_SYNC_ROWS: Final = 50
"""The same while a candidate is tried: two of them are a step's minimum exposure."""
NULL_ALLOWED: Final = 3
"""Trainings that the shuffled stream may start."""

DEMO_POLICY: Final = Policy(
    staleness=StalenessPolicy(
        period=timedelta(hours=48),
        maturity=timedelta(hours=24),
        retrain_cost="40 errors",
    ),
    training=TrainingPolicy(
        parameters={"max_depth": 3, "eta": 0.1, "rounds": 30},
        search={"min_child_weight": (1.0, 8.0)},
        trials=3,
        window_rows=4_531,
        holdout_rows=96,
        gate_margin=0.1,
    ),
    canary=CanaryPolicy(margin=0.06, steps=(0.1, 0.5, 1.0), step_rows=100, shadow_least_rows=96, shadow_rows=400, bake_rows=96),
)


def demo_policy(seed: int) -> Policy:
    """The constants, with the demo's seed for searches and fits."""
    return msgspec.structs.replace(DEMO_POLICY, training=msgspec.structs.replace(DEMO_POLICY.training, seed=seed))
