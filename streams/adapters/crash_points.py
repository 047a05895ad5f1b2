"""Kills this process at one named point, as a power failure would, once per data directory."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from streams.adapters.store import sync_directory


class CrashOnce:
    """SIGKILL at `wanted`, unless `marker` says that it happened before; `wanted` empty: never."""

    def __init__(self, wanted: str, marker: Path) -> None:
        self._wanted = wanted
        self._marker = marker

    def reached(self, point: str) -> None:
        """Kill this process if the point is the one wanted, and has not killed one here yet."""
        if not self._wanted or point != self._wanted or point in crashed(self._marker):
            return
        # Made durable first: the process that is started again must pass.
        with self._marker.open("a", encoding="utf-8") as file:
            file.write(f"{point}\n")
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self._marker.parent)
        os.kill(os.getpid(), signal.SIGKILL)


def crashed(marker: Path) -> tuple[str, ...]:
    """The points at which a process of that data directory was killed."""
    return tuple(marker.read_text(encoding="utf-8").split()) if marker.exists() else ()
