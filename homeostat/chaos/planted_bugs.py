"""All bugs that the simulator must find, each planted in the real code for as long as its context lasts."""

from __future__ import annotations

from typing import Final

from homeostat.chaos.planted_in_challenger import IN_CHALLENGER
from homeostat.chaos.planted_in_log import IN_LOG
from homeostat.chaos.planted_in_rollout import IN_ROLLOUT
from homeostat.chaos.planted_in_training import IN_TRAINING
from homeostat.chaos.planting import Planted

__all__ = ["ALL", "Planted", "named"]

ALL: Final[tuple[Planted, ...]] = (*IN_LOG, *IN_ROLLOUT, *IN_TRAINING, *IN_CHALLENGER)


def named(name: str) -> Planted:
    """The bug of that name."""
    return next(bug for bug in ALL if bug.name == name)
