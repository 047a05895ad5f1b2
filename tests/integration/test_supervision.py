"""What the supervisor is made of: children that come back, a directory held by one, ports that are free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config.settings import ConfigurationError, Settings
from homeostat.child import LOG_BYTES, Child
from homeostat.pid_file import AlreadyRunning, PidFile, running_pid, wait_released
from homeostat.ports import INTERNAL, with_ports

SLEEPER = "import sys, time; print('here', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"


def eventually(what: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.02)


class Watched:
    """A child and what was said about it; `watch` is called until a condition holds."""

    def __init__(self, tmp_path: Path, code: str) -> None:
        self.said: list[str] = []
        self.child = Child("thing", [sys.executable, "-c", code], tmp_path / "thing.log", dict(os.environ), self.said.append)

    def until(self, what: Callable[[], object]) -> None:
        def watched() -> object:
            self.child.watch()
            return what()

        eventually(watched)

    def log(self) -> str:
        return self.child.log.read_text() if self.child.log.exists() else ""


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[[str], Watched]]:
    made: list[Watched] = []

    def make(code: str) -> Watched:
        made.append(Watched(tmp_path, code))
        return made[-1]

    yield make
    for one in made:
        one.child.ask_to_stop()
        one.child.stopped(0.5)


def test_a_child_that_is_killed_is_started_again_and_it_is_said(watched: Callable[[str], Watched]) -> None:
    one = watched(SLEEPER)
    one.until(lambda: "here" in one.log())
    first = one.child.pid
    assert first is not None
    psutil.Process(first).kill()
    one.until(lambda: one.child.pid not in (None, first))
    assert one.said == [f"thing ended with signal SIGKILL; starting it again in 0.5 s (its log: {one.child.log})"]


def test_a_child_that_keeps_dying_is_started_with_growing_pauses(watched: Callable[[str], Watched]) -> None:
    one = watched("raise SystemExit(3)")
    one.until(lambda: one.child.deaths == 3)
    assert [said.partition(";")[2].partition("(")[0].strip() for said in one.said] == [
        "starting it again in 0.5 s",
        "starting it again in 1 s",
        "starting it again in 2 s",
    ]
    assert "exit status 3" in one.said[0]


def test_a_stopped_child_is_not_started_again(watched: Callable[[str], Watched]) -> None:
    one = watched(SLEEPER)
    one.until(lambda: "here" in one.log())
    one.child.ask_to_stop()
    one.child.stopped(5.0)
    one.child.watch()
    assert one.child.pid is None
    assert one.said == []


def test_a_child_that_does_not_stop_is_killed_after_the_bound(watched: Callable[[str], Watched]) -> None:
    one = watched(STUBBORN)
    one.until(lambda: "here" in one.log())
    one.child.ask_to_stop()
    began = time.monotonic()
    one.child.stopped(0.3)
    assert time.monotonic() - began < 5.0
    assert one.child.pid is None
    assert one.said == ["thing did not stop within 0.3 s; killing it"]


def test_what_a_child_left_behind_ends_with_it(watched: Callable[[str], Watched]) -> None:
    one = watched(
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]); print(p.pid, flush=True); p.wait()"
    )
    one.until(lambda: one.log().endswith("\n"))
    left = int(one.log())
    one.child.ask_to_stop()
    one.child.stopped(5.0)
    eventually(lambda: not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE)


def test_a_long_log_is_moved_aside_at_the_start(watched: Callable[[str], Watched]) -> None:
    one = watched(SLEEPER)
    with one.child.log.open("wb") as log:
        log.truncate(LOG_BYTES + 1)
    one.until(lambda: one.log() == "here\n")
    assert one.child.log.with_suffix(".log.1").stat().st_size == LOG_BYTES + 1


def test_one_process_holds_a_directory(tmp_path: Path) -> None:
    held = PidFile(tmp_path)
    held.acquire()
    assert running_pid(tmp_path) == os.getpid()
    with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}.*homeostat down"):
        PidFile(tmp_path).acquire()
    held.release()
    assert running_pid(tmp_path) is None
    assert wait_released(tmp_path, 0.0)


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    code = f"""
import pathlib, time
from homeostat.pid_file import PidFile
held = PidFile(pathlib.Path({str(tmp_path)!r}))
held.acquire()
print("held", flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert running_pid(tmp_path) == holder.pid
    finally:
        holder.kill()
        holder.wait()
    assert running_pid(tmp_path) is None
    PidFile(tmp_path).acquire()


def test_a_role_ends_when_the_process_that_started_it_is_killed() -> None:
    role = "from homeostat.parent_death import end_with_parent; import os, sys, time; end_with_parent(int(sys.argv[1])); time.sleep(60)"
    starter = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {role!r}, str(os.getpid())])
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_every_port_is_chosen_and_different(tmp_path: Path) -> None:
    settings = with_ports(Settings(data=str(tmp_path), serving_port=0))
    ports = [settings.serving_port, *(getattr(settings, name) for name in INTERNAL)]
    assert all(ports)
    assert len(set(ports)) == len(ports)
    assert settings.bootstrap_servers == f"127.0.0.1:{settings.broker_port}"


def test_ports_chosen_before_are_kept_unless_somebody_took_them(tmp_path: Path) -> None:
    before = with_ports(Settings(data=str(tmp_path), serving_port=0))
    with socket.create_server(("127.0.0.1", before.monitor_port)):
        after = with_ports(before)
    assert after.monitor_port != before.monitor_port
    assert (after.broker_port, after.agents_port) == (before.broker_port, before.agents_port)


def test_another_cluster_gets_no_embedded_broker(tmp_path: Path) -> None:
    settings = with_ports(Settings(data=str(tmp_path), serving_port=0, bootstrap_servers="kafka.example:9092"))
    assert settings.broker_port == 0
    assert settings.bootstrap_servers == "kafka.example:9092"


def test_a_taken_serving_port_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} is taken; .* --port"):
            with_ports(Settings(data=str(tmp_path), serving_port=port))
