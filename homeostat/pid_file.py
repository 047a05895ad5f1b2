"""One supervisor to a data directory: a locked file that says who it is. The lock, not the number, says that it lives."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

NAME: Final = "supervisor.pid"


class AlreadyRunning(Exception):
    """Another supervisor holds this data directory; the message says which and what to do."""


class PidFile:
    """Held from `acquire` to `release`, or to the end of the process (the operating system drops the lock)."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the directory. Raises AlreadyRunning."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _locked(handle):
            os.close(handle)
            raise AlreadyRunning(
                f"Homeostat already runs in {self._path.parent} (process {running_pid(self._path.parent)}); "
                "use it, or stop it with `homeostat down`."
            )
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle

    def release(self) -> None:
        """Let go. The file stays, empty: removing a locked file would let two hold it."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


def _locked(handle: int) -> bool:
    """Lock it, trying for a moment: somebody who asks who runs here holds a shared lock for microseconds."""
    for _ in range(5):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def running_pid(root: Path) -> int | None:
    """The process that holds this data directory, or None."""
    try:
        handle = os.open(root / NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(handle, 32).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(handle)
    return None


def wait_released(root: Path, timeout_s: float) -> bool:
    """Whether the directory is free within so many seconds."""
    deadline = time.monotonic() + timeout_s
    while running_pid(root) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
