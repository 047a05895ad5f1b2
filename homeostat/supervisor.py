"""Everything on one machine: the embedded broker and every role as a process of its own, kept alive and stopped in order.

Children end with the supervisor: on Linux the kernel tells them, elsewhere they look themselves (see `parent_death`).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from config.settings import ENVIRONMENT_PREFIX, Settings, write
from homeostat.child import Child
from homeostat.lost_log import lost_log
from homeostat.pid_file import PidFile
from homeostat.ports import with_ports
from homeostat.readiness import NotReady
from homeostat.roles import Role, roles_of
from streams.adapters.loopback import answers
from streams.adapters.topic_admin import create_topics

LOOK_EVERY_S: Final = 0.1
BROKER_S: Final = 90.0
"""Bound on the broker's start; formatting its directory is part of the first."""
DEATHS_AT_START: Final = 4
"""A role that dies so often before it was ever ready is given up on, while somebody waits for it."""
STOP_ROLES_S: Final = 15.0
STOP_BROKER_S: Final = 20.0
BROKER: Final = "broker"


class Supervisor:
    """Starts, watches and stops; `settings` are those with the ports chosen, as written beside the data."""

    def __init__(self, settings: Settings, say: Callable[[str], None], roles: tuple[Role, ...] | None = None) -> None:
        self._pid_file = PidFile(settings.root)
        self._pid_file.acquire()
        try:
            self.settings = with_ports(settings)
            write(self.settings)
        except BaseException:
            self._pid_file.release()
            raise
        self._tell = say
        self._roles = roles_of(self.settings) if roles is None else roles
        self._children: dict[str, Child] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self, cancelled: threading.Event | None = None) -> None:
        """Start the broker, make the topics, start every role; does not wait for the roles. Raises NotReady."""
        if lost := lost_log(self.settings):
            raise NotReady(lost)
        self._watcher.start()
        if self.settings.broker_port:
            self._say(f"starting Apache Kafka on {self.settings.bootstrap_servers}")
            self._add(BROKER)
            self._wait_broker(cancelled or self._stopping)
        if cancelled is not None and cancelled.is_set():
            return
        create_topics(self.settings.bootstrap_servers)
        self._say("starting " + ", ".join(role.name for role in self._roles))
        for role in self._roles:
            self._add(role.name)

    def wait_ready(self, timeout_s: float, names: Iterable[str] | None = None, cancelled: threading.Event | None = None) -> None:
        """Wait until these roles (all) answer /healthz, or `cancelled`. Raises NotReady."""
        deadline = time.monotonic() + timeout_s
        waiting = [role for role in self._roles if names is None or role.name in names]
        while waiting:
            waiting = [role for role in waiting if not role.healthy(self.settings)]
            if waiting and time.monotonic() > deadline:
                logs = ", ".join(str(self.settings.logs / f"{role.name}.log") for role in waiting)
                raise NotReady(
                    f"{', '.join(role.name for role in waiting)} did not become ready within {timeout_s:g} s; read {logs}."
                )
            self._give_up_on(waiting)
            if waiting and (cancelled or self._stopping).wait(0.1):
                return

    def _give_up_on(self, waiting: list[Role]) -> None:
        for role in waiting:
            child = self._children.get(role.name)
            if child is not None and child.deaths >= DEATHS_AT_START:
                raise NotReady(
                    f"{role.name} ended {child.deaths} times while starting: {_last_line(child.log)} (its log: {child.log})"
                )

    def pids(self) -> dict[str, int | None]:
        """Process of the broker and every role; None: between two lives."""
        return {name: child.pid for name, child in self._children.items()}

    def stop(self) -> None:
        """Stop everything within a bound, then let the directory go.

        Serving first and alone, so that it hands over all it has answered; then the other roles; the log that they all
        write to last.
        """
        self._stopping.set()
        with self._lock:  # nothing is started from here on
            children = dict(self._children)
        broker = children.pop(BROKER, None)
        others = list(reversed(children.values()))
        for group in (others[:1], others[1:]):
            self._stop_together(group, STOP_ROLES_S)
        if broker is not None:
            self._stop_together([broker], STOP_BROKER_S)
        self._stopped.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=1.0)
        self._pid_file.release()

    def _stop_together(self, children: list[Child], timeout_s: float) -> None:
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + timeout_s
        for child in children:
            child.stopped(max(0.1, deadline - time.monotonic()))

    def _say(self, text: str) -> None:
        """The supervisor's log has what the person is told, with the time."""
        self.settings.logs.mkdir(parents=True, exist_ok=True)
        with (self.settings.logs / "supervisor.log").open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}\n")
        self._tell(text)

    def _add(self, name: str) -> None:
        # What the environment said is in the settings now; a port of 0 there must not win over the one chosen.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ENVIRONMENT_PREFIX)}
        environment["PYTHONUNBUFFERED"] = "1"
        # Every role works on small matrices: more threads wait for each other, and for the other roles.
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        environment.setdefault("OMP_NUM_THREADS", "1")
        # -P: a folder called `config` where somebody starts Homeostat must not be taken for ours.
        command = [sys.executable, "-P", "-m", "homeostat.cli", name, "--data", self.settings.data, "--parent", str(os.getpid())]
        child = Child(name, command, self.settings.logs / f"{name}.log", environment, self._say)
        with self._lock:
            self._children[name] = child

    def _watch(self) -> None:
        # This thread starts every child and lives until all have stopped: the kernel takes its end for their parent's.
        while not self._stopping.wait(LOOK_EVERY_S):
            with self._lock:
                for child in self._children.values() if not self._stopping.is_set() else ():
                    child.watch()
        self._stopped.wait()

    def _wait_broker(self, cancelled: threading.Event) -> None:
        deadline = time.monotonic() + BROKER_S
        log = self.settings.logs / f"{BROKER}.log"
        while not answers(self.settings.bootstrap_servers):
            if self._children[BROKER].deaths:
                raise NotReady(f"Apache Kafka did not start: {_last_line(log)} (its log: {log})")
            if time.monotonic() > deadline:
                raise NotReady(f"Apache Kafka did not answer within {BROKER_S:g} s; read {log}.")
            if cancelled.wait(0.05):
                return


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"
