"""The replay does what the controller does: what was bought is first sought among the releases that served before."""

from __future__ import annotations

import msgspec
import pytest

from homeostat.demo.stream import DATA
from homeostat.demo_policy import DEMO_POLICY
from homeostat.electricity import load
from homeostat.offline_loop import replay_loop
from homeostat.offline_result import LoopReplay
from streams.policy import Policy, RecallPolicy

START, TURNED, BACK, ROWS = 4_531, 317, 1_085, 2_045
"""The world turns and comes back where a decision period begins, so that all of the first period's rows are of one world."""


def policy(*, recall: bool) -> Policy:
    """A training on few rows, which are soon all of the new world."""
    return msgspec.structs.replace(
        DEMO_POLICY,
        staleness=msgspec.structs.replace(DEMO_POLICY.staleness, retrain_cost="80 errors"),
        training=msgspec.structs.replace(DEMO_POLICY.training, window_rows=144, holdout_rows=48, minimum_rows=90),
        recall=RecallPolicy(enabled=recall, releases=10, rows=96, alpha=0.05),
    )


def replayed(seed: int, *, recall: bool, back: int = BACK) -> LoopReplay:
    """Rows in random order; the world is another one for a while."""
    columns = load(DATA).shuffled(seed + 1).part(0, START + ROWS).turned([(START + TURNED, START + back)])
    return replay_loop(columns, policy(recall=recall), seed=seed, start=START)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_world_that_comes_back_is_healed_by_the_release_that_knew_it(seed: int) -> None:
    """One training for the new world, none for the old; without recall it takes more trainings or more errors."""
    copy = replayed(seed, recall=True)
    assert copy.trainings == 1
    assert [(one.outcome, one.recalled) for one in copy.tried] == [("promoted", False), ("promoted", True)]
    without = replayed(seed, recall=False)
    assert without.recalls == ()
    assert without.trainings > copy.trainings
    assert without.wrong[BACK:].sum() > copy.wrong[BACK:].sum()


def test_while_the_world_stays_turned_nothing_is_recalled() -> None:
    """What knew the old world is worse there."""
    copy = replayed(0, recall=True, back=ROWS)
    assert copy.trainings >= 1
    assert copy.recalls == ()
