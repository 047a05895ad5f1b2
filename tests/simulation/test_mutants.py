"""The simulator finds bugs: each one planted is reported within a bounded number of schedules, and none where there is none."""

from __future__ import annotations

import os

import pytest

from homeostat.chaos import planted_bugs
from homeostat.chaos.hunt import caught
from homeostat.chaos.planted_bugs import Planted

SCHEDULES = 1_000
SEED = int(os.environ.get("SEED", "0"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", planted_bugs.ALL, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Planted) -> None:
    """Within so many schedules."""
    found = caught(bug, SEED, SCHEDULES)
    print(f"{bug.name}: {found}")
    assert found, f"{bug.what}: not seen in seeds {SEED} to {SEED + SCHEDULES - 1}"


@pytest.mark.timeout(600)
def test_without_a_planted_bug_the_same_schedules_show_nothing() -> None:
    """The control: what catches a bug is the bug."""
    assert caught(None, SEED, SCHEDULES) == ""
