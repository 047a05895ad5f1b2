"""`homeostat up` as a process: every child killed once, then `up` itself; each time it goes on where it was."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from config.settings import Settings, load, write
from homeostat import replay
from homeostat.commands.log import decisions, routes
from homeostat.commands.output import Failure
from homeostat.roles import AGENTS, ROLES, SERVE
from homeostat.serving_client import wait_served
from homeostat.write_control import write_control
from streams.adapters.store import DirectoryStore
from streams.events import DriftDetected, ModelRegistered, derived_id
from streams.policy import Policy
from streams.ports import LogUnavailable
from streams.release import load_release
from tests.integration.role_process import wait_for
from tests.integration.small_release import put_release, row

MODEL = "signs"
READY_S = 240.0
BACK_S = 120.0
CHILDREN = ("broker", *(role.name for role in ROLES))


class Up:
    """The system of a data directory, run by a process that a test may kill."""

    def __init__(self, data: Path) -> None:
        write(Settings(data=str(data), serving_port=0, tick_ms=200))
        self.data = data
        self.predicted = 0
        self.told = 0
        self.process: psutil.Popen | None = None

    @property
    def settings(self) -> Settings:
        return load(str(self.data), environment={})

    def start(self) -> None:
        log = self.data / "up.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOMEOSTAT_")}
        command = [sys.executable, "-P", "-m", "homeostat.cli", "up", "--json", "--data", str(self.data)]
        with log.open("wb") as out:
            self.process = psutil.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        wait_for(lambda: b'"ready": true' in log.read_bytes(), f"the system is ready; see {log}", READY_S)

    def child(self, name: str) -> psutil.Process | None:
        """The process of a role; None between two lives."""
        assert self.process is not None
        for process in self.process.children():
            try:
                if "homeostat.cli" in (line := process.cmdline()) and name in line:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def ready(self) -> bool:
        return all(role.healthy(self.settings) for role in ROLES)

    def register(self) -> None:
        release = put_release(DirectoryStore(self.settings.store), MODEL)
        contract = load_release(DirectoryStore(self.settings.store), release).contract
        record = ModelRegistered(
            id="reg",
            at=datetime.now(UTC),
            model=MODEL,
            actor="test",
            reason="t",
            release=release,
            contract=contract,
            policy=Policy(),
        )
        write_control(self.settings, record)
        assert wait_served(self.settings, MODEL, 1, 60.0) is not None

    def goes_on(self) -> None:
        """A row is answered and counted, a record is decided on, and nothing from before is missing or stands twice."""
        wait_for(self.predict, "a row is answered", BACK_S)
        self.predicted += 1
        wait_for(self.tell, "the log takes a record", BACK_S)
        self.told += 1
        wait_for(lambda: self.noted() == self.told, f"{self.told} records decided on", BACK_S)
        wait_for(lambda: self.counted() == self.predicted, f"{self.predicted} rows counted", BACK_S)

    def predict(self) -> bool:
        connection = http.client.HTTPConnection(*SERVE.address(self.settings), timeout=5.0)
        try:
            connection.request("POST", f"/v1/models/{MODEL}:predict", json.dumps({"rows": [row(self.predicted)]}))
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def tell(self) -> bool:
        """Write the next record; written twice, as its id is the same, it acts once."""
        record = DriftDetected(
            id=derived_id("drift", self.told),
            at=datetime.now(UTC),
            model=MODEL,
            actor="test",
            reason="t",
            release="r",
            feature="x",
            statistic=1.0,
            threshold=0.5,
            since=datetime.now(UTC),
            size=1.0,
        )
        try:
            write_control(self.settings, record)
        except LogUnavailable:
            return False
        return True

    def noted(self) -> int:
        try:
            causes = [one.cause for one in decisions(self.settings, MODEL) if one.kind == "DriftNoted"]
        except Failure:
            return -1
        assert len(causes) == len(set(causes))
        return len(causes)

    def counted(self) -> int:
        rows: dict[str, dict[str, int]] = AGENTS.position(self.settings).get("rows", {})
        return rows.get(MODEL, {}).get("predictions", 0)

    def close(self) -> None:
        if self.process is None:
            return
        family = [self.process, *self.process.children(recursive=True)] if self.process.is_running() else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60.0)
            except psutil.TimeoutExpired:
                self.process.kill()
        for left in family:
            if left.is_running() and left.status() != psutil.STATUS_ZOMBIE:
                left.kill()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path / "data")
    yield made
    made.close()


def test_everything_survives_the_death_of_any_part_and_of_the_whole(system: Up) -> None:
    system.start()
    system.register()
    system.goes_on()
    for name in CHILDREN:
        before = system.child(name)
        assert before is not None, f"{name} does not run"
        before.kill()
        wait_for(lambda: (now := system.child(name)) is not None and now.pid != before.pid, f"{name} is started again", BACK_S)  # noqa: B023  # waited for here
        wait_for(system.ready, f"everything is ready after {name} was killed", BACK_S)
        system.goes_on()
    assert system.process is not None
    family = system.process.children(recursive=True)
    system.process.kill()
    system.process.wait(10.0)
    wait_for(lambda: not any(_lives(one) for one in family), "all that it started ends with it", 60.0)
    system.start()
    system.goes_on()
    assert routes(system.settings)[MODEL].generation == 1
    assert replay.run(system.settings).differing == ()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
