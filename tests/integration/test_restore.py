"""A lost log made anew from the mirror: real roles, a real broker of their own, and its directory deleted."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
import pytest

from config.settings import Settings, load, write
from homeostat import replay
from homeostat.commands.log import decisions as decisions_shown
from homeostat.commands.log import routes
from homeostat.lost_log import begun_in
from homeostat.mirror import Mirror, decisions, newest
from homeostat.orphans import end_orphans
from homeostat.readiness import NotReady
from homeostat.roles import AGENTS, CONTROL, MONITOR, SERVE, STANDBY
from homeostat.serving_client import wait_served
from homeostat.supervisor import Supervisor
from homeostat.write_control import write_control
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.store import DirectoryStore
from streams.crash_points import BEFORE_MIRROR
from streams.events import RollBack, Route, Steering
from streams.release import load_release
from tests.core.control_log import ControlLog, evidence, finished, registered, retrain
from tests.integration.control_desk import Desk
from tests.integration.role_process import wait_for
from tests.integration.small_release import put_release, row

MODEL = "signs"
ROLES = (CONTROL, STANDBY, MONITOR, AGENTS, SERVE)
READY_S = 120.0
COUNTED_S = 60.0


class Home:
    """A data directory with its system, which a test starts, stops and robs."""

    def __init__(self, data: Path) -> None:
        write(Settings(data=str(data), serving_port=0, tick_ms=200, lake_tick_ms=1_000))
        self.data = data
        self.said: list[str] = []
        self._supervisor: Supervisor | None = None

    @property
    def settings(self) -> Settings:
        return load(str(self.data), environment={})

    def up(self) -> None:
        self._supervisor = Supervisor(self.settings, self.said.append, ROLES)
        self._supervisor.start()
        self._supervisor.wait_ready(READY_S)

    def down(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None

    def tell(self, *records: Steering) -> None:
        write_control(self.settings, *records)

    def kinds(self) -> list[str]:
        return [one.kind for one in decisions_shown(self.settings, MODEL)]

    def wait_for_kind(self, kind: str, count: int = 1) -> None:
        wait_for(lambda: self.kinds().count(kind) >= count, f"{count} x {kind}; there is {self.kinds()}", 60.0)

    def route(self) -> Route:
        return routes(self.settings)[MODEL]

    def promote(self, first: str, second: str) -> None:
        """Register `first` and take `second` through shadow and canary."""
        contract = load_release(DirectoryStore(self.settings.store), first).contract
        policy = registered(MODEL)
        self.tell(_with(policy, release=first, contract=contract), retrain("req", model=MODEL))
        self.wait_for_kind("TrainingStarted")
        run = next(one.run for one in decisions_shown(self.settings, MODEL) if one.run)
        self.tell(finished(run, second, model=MODEL))
        self.wait_for_kind("ShadowStarted")
        self.tell(evidence(self.route(), 300, better=15, worse=5, model=MODEL))
        self.wait_for_kind("StepTaken", 1)
        self.tell(evidence(self.route(), 100, better=5, worse=2, answered=200, model=MODEL))
        self.wait_for_kind("StepTaken", 2)
        self.tell(evidence(self.route(), 100, better=5, worse=2, answered=200, model=MODEL))
        self.wait_for_kind("Promoted")

    def predict(self, rows: int) -> None:
        """Answered, each row by the champion."""
        connection = http.client.HTTPConnection(*SERVE.address(self.settings), timeout=30.0)
        try:
            body = json.dumps({"rows": [row(number) for number in range(rows)]})
            connection.request("POST", f"/v1/models/{MODEL}:predict", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        assert response.status == http.client.OK, answer
        assert len(answer["predictions"]) == rows

    def counted(self) -> int:
        """Rows that the agents have folded, which they do only once they know the model's policy."""
        rows: dict[str, dict[str, int]] = AGENTS.position(self.settings).get("rows", {})
        return rows.get(MODEL, {}).get("predictions", 0)


def _with(record: Steering, **values: object) -> Steering:
    return msgspec.structs.replace(record, **values)


def restore(data: Path) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(_command(data), capture_output=True, text=True, timeout=180.0, check=False, env=_environment())


def _command(data: Path) -> list[str]:
    return [sys.executable, "-m", "homeostat.cli", "restore", "--reason", "the disk died", "--data", str(data), "--json"]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HOMEOSTAT_")}


def killed_midway(data: Path) -> None:
    """A restore that is killed as soon as it has changed something."""
    process = subprocess.Popen(_command(data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
    try:
        deadline = time.monotonic() + 120.0
        while begun_in(data / "mirror") is None:
            assert time.monotonic() < deadline
            assert process.poll() is None, "it ended before it began"
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "data")
    yield made
    made.down()
    left = made.data / "broker" / "broker.pid"
    if left.exists():  # of a restore that was killed
        for pid in left.read_text().split()[:1]:
            if psutil.pid_exists(int(pid)):
                os.kill(int(pid), signal.SIGKILL)


def test_a_lost_log_is_made_anew_and_everything_goes_on(home: Home) -> None:
    """Same champion, a higher incarnation, answers that are counted, the way back open; the first try is killed midway."""
    home.up()
    store = DirectoryStore(home.settings.store)
    first, second = put_release(store, MODEL), put_release(store, MODEL, seed=1)
    home.promote(first, second)
    assert wait_served(home.settings, MODEL, home.route().generation, 60.0, second) is not None
    home.predict(7)
    wait_for(lambda: home.counted() == 7, "the rows are counted", COUNTED_S)
    wait_for(lambda: any(home.settings.lake.rglob("*.parquet")), "they are in the lake", COUNTED_S)
    before, told = home.route(), home.kinds()
    home.down()
    shutil.rmtree(home.settings.broker)

    with pytest.raises(NotReady, match="homeostat restore"):
        home.up()
    home.down()
    killed_midway(home.data)
    with pytest.raises(NotReady, match="not finished"):
        home.up()
    home.down()
    said = restore(home.data)
    assert said.returncode == 0, said
    assert json.loads(said.stdout.splitlines()[-1])["restored"] == {MODEL: 2}
    assert any((home.data / "lake-1").rglob("*.parquet"))
    assert not home.settings.lake.exists()
    again = restore(home.data)
    assert (again.returncode, "still holds a log" in again.stderr) == (1, True), again

    home.up()
    home.wait_for_kind("Restored")
    assert wait_served(home.settings, MODEL, before.generation + 1, 60.0, second) is not None
    after = home.route()
    assert (after.champion, after.incarnation) == (second, 2)
    assert home.kinds()[: len(told)] == told, "the history begins before the log that is gone"
    home.predict(5)
    wait_for(lambda: home.counted() == 5, "the new rows are counted", COUNTED_S)
    home.tell(_rollback())
    home.wait_for_kind("RolledBack")
    assert wait_served(home.settings, MODEL, after.generation + 1, 60.0, first) is not None
    assert home.kinds().count("Promoted") == home.kinds().count("Restored") == 1
    assert replay.run(home.settings).differing == ()


def _rollback() -> Steering:
    return RollBack(id="back", at=datetime.now(UTC), model=MODEL, actor="ada", reason="the way back is open")


def test_a_restore_that_is_asked_to_end_leaves_no_broker_and_one_that_is_killed_leaves_one_to_be_ended(tmp_path: Path) -> None:
    """SIGTERM while the broker starts: it is stopped. SIGKILL: an orphan, which is ended by name; then a restore succeeds."""
    data = tmp_path / "data"
    settings = Settings(data=str(data), serving_port=0)
    write(settings)
    log = ControlLog(MODEL)
    log.tell(registered(MODEL))
    Mirror(settings.mirror).keep(log.state.models[MODEL], partition=log.partition, offset=1, decisions=log.decisions)
    for number in (signal.SIGTERM, signal.SIGHUP):
        stopped, broker = begun_with_broker(data)
        stopped.send_signal(number)
        assert stopped.wait(60.0) == 130
        assert not psutil.pid_exists(broker)
    assert end_orphans(settings) is None
    killed, broker = begun_with_broker(data)
    killed.kill()
    killed.wait()
    assert end_orphans(settings) == broker
    assert not psutil.pid_exists(broker)
    said = restore(data)
    assert said.returncode == 0, said
    answer = json.loads(said.stdout.splitlines()[-1])
    assert (answer["restored"], answer["champions"]) == ({MODEL: 2}, {MODEL: "first"})


def begun_with_broker(data: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A restore that has just started its broker, and the broker."""
    process = subprocess.Popen(_command(data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
    note = data / "broker" / "broker.pid"
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 3, "its broker runs", 60.0)
    return process, int(note.read_text().split()[0])


def test_without_the_mirror_restore_says_what_is_missing_and_does_nothing(home: Home) -> None:
    before = sorted(path.name for path in home.data.rglob("*"))
    said = restore(home.data)
    assert said.returncode == 1
    assert "no mirror of decisions" in said.stderr
    assert str(home.settings.mirror) in said.stderr
    assert [name for name in sorted(path.name for path in home.data.rglob("*")) if name not in before] == ["supervisor.pid"]


@pytest.fixture
def desk(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(broker.bootstrap_servers, tmp_path)
    yield desk
    desk.close()


def test_a_log_that_is_not_empty_is_not_written_over(desk: Desk) -> None:
    """Another cluster, and its topics hold records: refused, and nothing stands there afterwards."""
    desk.controller()
    desk.tell(registered(desk.model))
    desk.wait_for_kind("Registered")
    wait_for(lambda: len(newest(desk.settings.mirror)) > 0, "the mirror knows it")
    desk.close()
    said = restore(Path(desk.settings.data))
    assert (said.returncode, "is not empty" in said.stderr) == (1, True), said
    assert begun_in(desk.settings.mirror) is None
    assert desk.kinds() == ["Registered"]


def test_what_a_crash_kept_from_the_mirror_is_mended_at_the_next_start(desk: Desk) -> None:
    """SIGKILL between commit and mirror: the log knows more than the mirror, until somebody leads again."""
    crashing = desk.controller(crash_at=BEFORE_MIRROR)
    desk.tell(registered(desk.model))
    assert crashing.wait_end() == -signal.SIGKILL
    assert decisions(desk.settings, desk.model) == []
    desk.controller()
    wait_for(lambda: len(decisions(desk.settings, desk.model)) == 1, "the mirror is mended")
    desk.tell(retrain(f"req-{desk.model}", model=desk.model))
    desk.wait_for_kind("TrainingStarted")
    wait_for(lambda: [one.id for one in decisions(desk.settings, desk.model)] == [one.id for one in desk.decisions()], "the same")
