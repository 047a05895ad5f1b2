"""Waiting, bounded and stoppable: for a broker that is away, and for what a window needs and is not there yet."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from streams.ports import LogUnavailable

PATIENCE_S: Final = 90.0
"""How long a broker may be away before the process ends, to be started again."""
RETRY_S: Final = 0.25
TELL_EVERY_S: Final = 10.0

T = TypeVar("T")
log = logging.getLogger("homeostat.agents")


class StoppedError(Exception):
    """The process is to stop while a window waits; it is folded after the next start."""


class Patience:
    """Waits until `stop`."""

    def __init__(
        self, stop: threading.Event, blocked: Callable[[bool], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stop = stop
        self._blocked = blocked
        self._clock = clock

    def insisting(self, work: Callable[[], T]) -> T:
        """Do it, again and again while the broker is away. Raises LogUnavailable when patience ends, StoppedError."""
        since_s = self._clock()
        while True:
            try:
                return work()
            except LogUnavailable as error:
                if self._clock() - since_s > PATIENCE_S:
                    raise
                log.warning("trying again: %s", error)
            self.check(RETRY_S)

    def present(self, look: Callable[[], T | None], lack: str) -> T:
        """What `look` finds; until then the windows wait, and it is said: to skip would make counts wrong. Raises StoppedError."""
        found = look()
        if found is not None:
            return found
        told_s = -float("inf")
        self._blocked(True)
        while (found := look()) is None:
            if self._clock() - told_s >= TELL_EVERY_S:
                told_s = self._clock()
                log.error("windows wait: %s; they are folded when it is there", lack)
            self.check(RETRY_S)
        self._blocked(False)
        return found

    def check(self, wait_s: float = 0.0) -> None:
        """Wait, or raise StoppedError."""
        if self._stop.wait(wait_s):
            raise StoppedError
