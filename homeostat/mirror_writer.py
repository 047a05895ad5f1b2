"""Writes the mirror beside the leaders, so that no decision waits for a disk.

What is told while a write is under way is written next, together: of a model only the newest state, but every decision. What
a crash or a full queue takes away is below no mark, and so it is read from the log when the partition is led anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from homeostat.mirror import Mirror
from homeostat.model_state import ModelState
from streams.events import Decided

MOST_DECISIONS: Final = 10_000
"""Waiting to be written, of all models together."""
CLOSE_S: Final = 5.0

log = logging.getLogger("homeostat.mirror")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A model after a step, and what was decided on it there."""

    state: ModelState
    decisions: Sequence[Decided]


@dataclass(slots=True)
class _Waiting:
    """Of one partition: what is to be written, up to which offset."""

    offset: int = 0
    states: dict[str, ModelState] = field(default_factory=dict)
    decisions: dict[str, list[Decided]] = field(default_factory=dict)
    whole: bool = True
    """Nothing was left out."""


class MirrorWriter:
    """One thread on one mirror."""

    def __init__(self, mirror: Mirror, most_decisions: int = MOST_DECISIONS) -> None:
        self._mirror = mirror
        self._most = most_decisions
        self._waiting: dict[int, _Waiting] = {}
        self._decisions = 0
        self._behind: set[int] = set()
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def led(self, partition: int) -> None:
        """The partition was led anew and its mirror mended: marks go on from here."""
        with self._changed:
            self._behind.discard(partition)

    def tell(self, partition: int, offset: int, changes: Sequence[Change]) -> None:
        """A step was committed: the partition is folded up to `offset` (exclusive). Never waits."""
        with self._changed:
            waiting = self._waiting.setdefault(partition, _Waiting())
            waiting.offset = offset
            for change in changes:
                name = change.state.model
                waiting.states[name] = change.state
                if self._decisions + len(change.decisions) > self._most:
                    log.error("the mirror of %s is behind: %d decisions wait to be written", name, self._decisions)
                    waiting.whole = False
                    continue
                waiting.decisions.setdefault(name, []).extend(change.decisions)
                self._decisions += len(change.decisions)
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, for at most CLOSE_S."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                taken, self._waiting, self._decisions = self._waiting, {}, 0
            for partition, waiting in taken.items():
                self._write(partition, waiting)

    def _write(self, partition: int, waiting: _Waiting) -> None:
        whole = waiting.whole
        for name, state in waiting.states.items():
            decisions = waiting.decisions.get(name, [])
            whole &= self._mirror.keep(state, partition=partition, offset=waiting.offset, decisions=decisions)
        with self._changed:
            if not whole:
                self._behind.add(partition)
            marked = partition not in self._behind
        if marked:
            self._mirror.mark(partition, waiting.offset)
