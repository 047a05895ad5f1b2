"""One supervised process: started, watched, started again after a pause when it dies, stopped within a bound."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from homeostat.backoff import deaths_after, pause_s

LOG_BYTES: Final = 32 * 2**20
"""A log that is longer when its process starts is moved aside (one old log is kept)."""


class Child:
    """A process with its log file. `watch`, to be called often from one thread, starts it too; it never blocks.

    One thread, because Linux takes the end of the thread that started a process for the end of its parent.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: dict[str, str], say: Callable[[str], None]
    ) -> None:
        self.name = name
        self._command = list(command)
        self.log = log
        self._environment = environment
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._started = 0.0
        self._start_at: float | None = 0.0

    @property
    def pid(self) -> int | None:
        """Of the running process, or None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def deaths(self) -> int:
        """How often it died without having run for long."""
        return self._deaths

    def _start(self) -> None:
        """Start it, in a process group of its own: a Ctrl-C in the terminal reaches the supervisor alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        self._started = time.monotonic()
        self._start_at = None

    def watch(self) -> None:
        """Start it if it is due; see whether it died, and when it is due then."""
        now = time.monotonic()
        if self._start_at is not None:
            if now >= self._start_at:
                self._start()
            return
        if self._process is None or (code := self._process.poll()) is None:
            return
        self._deaths = deaths_after(self._deaths, now - self._started)
        pause = pause_s(self._deaths)
        self._start_at = now + pause
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self._say(f"{self.name} ended with {how}; starting it again in {pause:g} s (its log: {self.log})")

    def ask_to_stop(self) -> None:
        """SIGTERM, and no new start."""
        self._start_at = None
        if self.pid is not None and self._process is not None:
            self._process.terminate()

    def stopped(self, timeout_s: float) -> None:
        """Wait for its end; after so many seconds its whole process group is killed."""
        process = self._process
        if process is None:
            return
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._say(f"{self.name} did not stop within {timeout_s:g} s; killing it")
        self._kill_group(process)
        process.wait()
        self._process = None

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        """Whatever it left behind in its group goes with it."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
