"""The demo's constants, chosen with `homeostat.offline_loop` on this very stream, in order and shuffled.

So the demo's accuracy is not evidence for them elsewhere. Over copies of the replay with another pace of looks and other
luck of the search they gain .018 to .030 over the frozen model (mean .026, 14 trainings). Of 26 shuffles 22 start no
training, two start one, one starts two and one starts four.

Shadow judges the loss on 96 labelled rows at least, two whole days: judged at every look on fewer, labels that depend on
each other in time decide by the luck of a morning, and the gain was .020 with more than twice the spread.

A margin of 6 points at these disagreements needs about a hundred labelled rows: the canary's own delay eats what a training
gains, and proving 2 points would take ten times as long. A holdout of a day is what the gate can have without the model
being born old; its margin is wide, because shadow judges the same question on more rows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

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
        training_worth_errors=40.0,
        guard_sd=2.0,
    ),
    training=TrainingPolicy(
        parameters={"max_depth": 3, "eta": 0.1, "rounds": 30},
        search={"min_child_weight": (1.0, 8.0)},
        trials=3,
        window_rows=4_531,
        holdout_rows=48,
        gate_margin=0.2,
    ),
    canary=CanaryPolicy(margin=0.06, steps=(0.1, 0.5, 1.0), step_rows=100, shadow_least_rows=96, shadow_rows=400, bake_rows=96),
)
