"""A role as a process of its own, as the supervisor starts it, for tests that kill, stop and restart it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from config.settings import Settings, write

START_S = 60.0


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Poll until it holds; fails with `what` at the bound."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


class RoleProcess:
    """`homeostat ROLE` on a data directory. Leaves nothing running after `close`."""

    def __init__(self, role: str, settings: Settings, *, crash_at: str = "") -> None:
        self.settings = msgspec.structs.replace(settings, crash_at=crash_at)
        write(self.settings)
        self.log = Path(settings.data) / f"{role}-{time.monotonic_ns()}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HOMEOSTAT_")}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "homeostat.cli", role, "--data", settings.data],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send one signal."""
        self.process.send_signal(number)

    def wait_end(self, timeout_s: float = 30.0) -> int:
        """Its exit status; fails at the bound, with its log."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s:g} s:\n{self.log.read_text()[-4000:]}") from None

    def close(self) -> None:
        """Kill what is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10.0)
