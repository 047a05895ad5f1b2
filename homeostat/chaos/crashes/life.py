"""One life of a role: a process as the supervisor starts it, told to die at a named point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from config.settings import ENVIRONMENT_PREFIX, Settings
from homeostat.chaos.crashes.verdict import PATIENCE_S, Unclean, require
from streams.adapters.crash_points import crashed

TAIL: Final = 800


class Life:
    """A process on a data directory. `dies_at` empty: it lives until it is stopped."""

    def __init__(self, name: str, program: Sequence[str], settings: Settings, *, dies_at: str = "") -> None:
        self.name = name
        self.dies_at = dies_at
        self._marker = settings.crashed
        settings.logs.mkdir(parents=True, exist_ok=True)
        self.log: Path = settings.logs / f"{name}.log"
        self._begins = self.log.stat().st_size if self.log.exists() else 0
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ENVIRONMENT_PREFIX)}
        environment[f"{ENVIRONMENT_PREFIX}CRASH_AT"] = dies_at
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", *program], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
            )

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def must_live(self) -> None:
        """Raise Unclean if it has ended by itself."""
        require(not self.ended, f"{self.name} ended by itself with {self._process.poll()}: {self._tail()}")

    def killed_there(self) -> None:
        """Wait for its death by SIGKILL at its point. Raises Unclean where it dies otherwise, or not at all."""
        try:
            status = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Unclean(f"{self.dies_at} was not reached: {self.name} lives on: {self._tail()}") from None
        where = crashed(self._marker)
        require(status == -signal.SIGKILL, f"{self.name} ended with {status} instead of SIGKILL: {self._tail()}")
        require(self.dies_at in where, f"{self.name} was killed, but not at {self.dies_at}: {where}")

    def finished(self) -> int:
        """Wait for its end; its exit status."""
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Unclean(f"{self.name} does not end: {self._tail()}") from None

    def close(self) -> None:
        """Kill it if it still runs."""
        if not self.ended:
            self._process.kill()
            self._process.wait()

    def _tail(self) -> str:
        return self.log.read_bytes()[self._begins :].decode(errors="replace")[-TAIL:]
