"""Retraining by the clock, and never."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.healing.action import Action
from benchmarks.healing.replay import Past

INTERVALS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Periods between two trainings."""


@dataclass(frozen=True, slots=True)
class Every:
    """A training each so many periods; or the same with frozen challengers."""

    periods: int
    action: Action = Action.TRAIN

    def decide(self, past: Past) -> Action:
        """By the number of the period alone."""
        return self.action if (past.period + 1) % self.periods == 0 else Action.KEEP


class Never:
    """The first release for ever."""

    def decide(self, past: Past) -> Action:  # noqa: ARG002 - the protocol's
        """Keep it."""
        return Action.KEEP
