"""Retraining on an alarm of a change detector that reads the champion's row losses; it starts anew with each champion.

ADWIN: Bifet and Gavaldà 2007. DDM: Gama et al. 2004; it reads errors, so a regression gives it ADWIN's place (see `rivals`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.healing.action import Action
from benchmarks.healing.replay import Past


class Detector(Protocol):
    """Reads losses one by one and says when they changed."""

    @property
    def drift_detected(self) -> bool:
        """Whether the newest loss raised an alarm."""

    def update(self, x: bool, /) -> None:
        """Read a loss."""


@dataclass(slots=True)
class LossAlarm:
    """A training at the first alarm on the champion's own rows."""

    new: Callable[[], Detector]
    detector: Detector | None = field(default=None, init=False)
    read: int = field(default=0, init=False)
    """Rows before this one were."""

    def decide(self, past: Past) -> Action:
        """Read what became known of the champion's losses."""
        if self.detector is None:
            self.detector = self.new()
        begin = max(self.read, past.champion.since)
        if begin >= past.known:
            return Action.KEEP
        self.read = past.known
        for loss in past.champion_losses(begin, past.known).tolist():
            self.detector.update(loss)
            if self.detector.drift_detected:
                self.detector = None
                return Action.TRAIN
        return Action.KEEP


def adwin(delta: float) -> LossAlarm:
    """Two halves of a growing window differ."""
    from river import drift

    detector: Any = drift.ADWIN  # compiled, without types
    return LossAlarm(lambda: detector(delta=delta))


def ddm() -> LossAlarm:
    """The share of errors is three standard deviations above its least."""
    from river.drift.binary import DDM

    return LossAlarm(DDM)
