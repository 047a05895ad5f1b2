"""Writes the mirror beside the leaders, so that no decision waits for a disk.

What is told while a write is under way is written next, together: of a model only the newest state, but every decision. What
a crash or a full queue takes away is below no mark, and so it is read from the log when the partition is led anew. What a
disk refuses is tried again, ever more seldom, while the partition is led here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from homeostat.backoff import pause_s
from homeostat.mirror import Mirror
from homeostat.model_state import ModelState
from streams.events import Decided

MOST_DECISIONS: Final = 10_000
"""Waiting to be written, of all models together."""
CLOSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 5.0
"""After a write that failed: what others decided waits for it too."""

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
    again: set[str] = field(default_factory=set)
    """Models of which a write failed half way: some of their decisions may stand there already."""


class MirrorWriter:
    """One thread on one mirror."""

    def __init__(self, mirror: Mirror, most_decisions: int = MOST_DECISIONS) -> None:
        self._mirror = mirror
        self._most = most_decisions
        self._waiting: dict[int, _Waiting] = {}
        self._decisions = 0
        self._behind: set[int] = set()
        """Something was left out, and only the log has it ..."""
        self._failing: set[int] = set()
        """... or was refused by the disk, and waits here."""
        self._dropped: set[int] = set()
        self._failures = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def led(self, partition: int) -> None:
        """The partition was led anew and its mirror mended: marks go on from here."""
        with self._changed:
            self._behind.discard(partition)
            self._dropped.discard(partition)

    def dropped(self, partition: int) -> None:
        """It is led by somebody else, who mends what is missing: what waits is written once and not tried again."""
        with self._changed:
            self._dropped.add(partition)

    @property
    def behind(self) -> int:
        """Partitions led here of which the mirror lacks something."""
        with self._changed:
            return len((self._behind | self._failing) - self._dropped)

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
        with self._changed:
            if self._thread.is_alive() or self._waiting:
                log.error("the mirror is behind: %d decisions were not written before the end", self._decisions)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                taken, self._waiting = self._waiting, {}
            kept = [self._write(partition, waiting) for partition, waiting in taken.items()]
            self._failures = 0 if all(kept) else self._failures + 1
            with self._changed:
                if self._closing and self._failures:
                    return
                if self._failures:
                    self._changed.wait_for(lambda: self._closing, min(pause_s(self._failures), LONGEST_PAUSE_S))

    def _write(self, partition: int, waiting: _Waiting) -> bool:
        """Whether the disk took it all; what it did not take waits again."""
        refused = [name for name in waiting.states if not self._keep(partition, waiting, name)]
        with self._changed:
            self._decisions -= sum(len(some) for name, some in waiting.decisions.items() if name not in refused)
            if not waiting.whole:
                self._behind.add(partition)
            if refused:
                self._failing.add(partition)
                self._wait_again(partition, waiting, refused)
                return partition in self._dropped
            self._failing.discard(partition)
            marked = partition not in self._behind
        if marked:
            self._mirror.mark(partition, waiting.offset)
        return True

    def _keep(self, partition: int, waiting: _Waiting, name: str) -> bool:
        state, decisions = waiting.states[name], waiting.decisions.get(name, [])
        if name in waiting.again and decisions:
            there = self._mirror.kept_ids(state)
            decisions = [one for one in decisions if one.id not in there]
        return self._mirror.keep(state, partition=partition, offset=waiting.offset, decisions=decisions)

    def _wait_again(self, partition: int, failed: _Waiting, refused: Sequence[str]) -> None:
        if partition in self._dropped:
            self._decisions -= sum(len(failed.decisions.get(name, [])) for name in refused)
            self._behind.add(partition)
            return
        waiting = self._waiting.setdefault(partition, _Waiting())
        waiting.offset = max(waiting.offset, failed.offset)
        for name in refused:
            waiting.states.setdefault(name, failed.states[name])  # one told meanwhile is newer
            waiting.decisions[name] = [*failed.decisions.get(name, []), *waiting.decisions.get(name, [])]
            waiting.again.add(name)
