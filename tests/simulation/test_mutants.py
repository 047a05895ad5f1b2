"""The simulator finds bugs: each one planted is reported within a bounded number of schedules, and none where there is none."""

from __future__ import annotations

import os

import pytest

from homeostat.chaos import planted_bugs
from homeostat.chaos.hunt import all_caught, caught
from homeostat.chaos.planted_bugs import Planted

SCHEDULES = 1_000
SEED = int(os.environ.get("SEED", "0"))


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """What gave each bug away, '' where nothing did; looked for in two processes."""
    return dict(all_caught(SEED, SCHEDULES))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", planted_bugs.ALL, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Planted, found: dict[str, str]) -> None:
    """Within so many schedules."""
    print(f"{bug.name}: {found[bug.name]}")
    assert found[bug.name], f"{bug.what}: not seen in seeds {SEED} to {SEED + SCHEDULES - 1}"


@pytest.mark.timeout(600)
def test_without_a_planted_bug_the_same_schedules_show_nothing() -> None:
    """The control: what catches a bug is the bug."""
    assert caught(None, SEED, SCHEDULES) == ""
