"""A role ends when the supervisor that started it has ended, however that ended.

Linux: the kernel sends SIGTERM at once (prctl PR_SET_PDEATHSIG). Everywhere: a thread looks twice a second whether the
parent is still the same, asks with SIGTERM and ends the process when asking did not help.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
LOOK_EVERY_S: Final = 0.5
GRACE_S: Final = 15.0
"""From asking to ending."""


def end_with_parent(parent: int) -> None:
    """From now on this process ends with process `parent`, which must be the one that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
