"""Agent processes: the real fold of windows. They repeat themselves after a restart from an older snapshot, and two may run."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Final

from drift.monitoring import ModelKnown, State, advance, names_newer
from homeostat.chaos.broker import Broker
from homeostat.chaos.windows import Published, Windows
from streams.events import WindowCounted
from streams.policy import Policy
from streams.ports import LogUnavailable

SNAPSHOTS: Final = 3
"""Kept: a restart may find an older one, or none."""


class Agent:
    """One process."""

    def __init__(self, broker: Broker, windows: Windows, name: str) -> None:
        self._broker = broker
        self._windows = windows
        self._state = State()
        self._offset = 0
        self._snapshots: list[tuple[int, State]] = []
        self.name = name

    @property
    def behind(self) -> bool:
        """Whether there is anything to fold."""
        return self._offset < len(self._windows.published)

    def turn(self, limit: int) -> None:
        """Fold windows; each one's signals are written before the state moves."""
        for published in self._windows.published[self._offset : self._offset + limit]:
            try:
                state = self._told(published)
            except LogUnavailable:
                return
            self._offset += 1
            self._state = state

    def brought_again(self, rng: random.Random) -> None:
        """An old window is delivered once more."""
        if self._offset:
            published = self._windows.published[rng.randrange(self._offset)]
            self._state = self._told(published)

    def save(self) -> None:
        """Take a snapshot."""
        self._snapshots = [*self._snapshots, (self._offset, self._state)][-SNAPSHOTS:]

    def restart(self, rng: random.Random) -> None:
        """Killed, perhaps between a write and the move of its state, and started again."""
        if self.behind and rng.random() < 0.5:
            with suppress(LogUnavailable):
                self._told(self._windows.published[self._offset])
        self._offset, self._state = rng.choice(self._snapshots) if self._snapshots and rng.random() < 0.8 else (0, State())
        self._broker.say(self.name, "restarts at window {}", self._offset)

    def _told(self, published: Published) -> State:
        state, signals = advance(_informed(self._state, published.window, published.policy), published.window)
        if signals:
            self._broker.log.append([self._broker.control(signal) for signal in signals])
        return state


def _informed(state: State, window: WindowCounted, policy: Policy) -> State:
    known, newer = state.models.get(window.model), names_newer(state, window)
    if known is not None and newer is None and policy == known.policy:
        return state
    generation, champion = newer or ((known.generation, known.champion) if known is not None else (-1, ""))
    return advance(state, ModelKnown(model=window.model, policy=policy, generation=generation, champion=champion))[0]
