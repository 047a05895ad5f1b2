"""Crash points: named places at which a test may have the process killed, as a power failure would."""

from __future__ import annotations

import os
import signal


def here(point: str, wanted: str) -> None:
    """SIGKILL this process if `point` is the one wanted; nothing otherwise."""
    if wanted and point == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
