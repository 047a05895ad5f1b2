"""The command line on real parts: one system for the whole file, driven as a person would."""

from __future__ import annotations

import csv
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from homeostat.roles import ROLES

UP_S = 240.0
COMMAND_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one command said."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The object on the last line of standard output."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found


def homeostat(*arguments: str, timeout_s: float = COMMAND_S) -> Said:
    """Run one command to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOMEOSTAT_")}
    ended = subprocess.run(
        [sys.executable, "-m", "homeostat.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Said(status=ended.returncode, out=ended.stdout, err=ended.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running system."""

    home: Path
    serving: str

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """One HTTP request to serving."""
        connection = http.client.HTTPConnection(self.serving.removeprefix("http://"), timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


def eventually(what: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.2)


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that ended and was not yet waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table: whether x + y is positive, with a category and a few missing values."""
    generator = random.Random(4)
    path = tmp_path_factory.mktemp("table") / "train.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "colour", "up"])
        for row in range(900):
            x, y = generator.gauss(0, 1), generator.gauss(0, 1)
            writer.writerow([x, "" if row % 50 == 0 else y, generator.choice(["red", "green"]), int(x + y > 0)])
    return path


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`homeostat up --detach`, and `down` whatever happens."""
    home = tmp_path_factory.mktemp("system") / "data"
    (home / "policies").mkdir(parents=True)
    (home / "policies" / "ghost.toml").write_text("")
    said = homeostat("up", "--detach", "--port", "0", "--data", str(home), "--json", timeout_s=UP_S)
    try:
        assert said.status == 0, said
        yield System(home=home, serving=said.document["serving"])
    finally:
        homeostat("down", "--data", str(home))


@pytest.fixture(scope="module")
def registered(system: System, table: Path) -> System:
    """The system with one model, `signs`."""
    policy = table.parent / "policy.toml"
    policy.write_text("[recall]\nreleases = 3 # few\n")
    arguments = ("--data", str(table), "--target", "up", "--policy", str(policy), "--home", str(system.home), "--json")
    said = homeostat("register", "signs", *arguments)
    assert said.status == 0, said
    assert said.document["model"] == "signs"
    return system


def test_a_second_system_on_the_same_directory_is_refused(system: System) -> None:
    said = homeostat("up", "--port", "0", "--data", str(system.home))
    assert said.status == 1
    assert "Homeostat already runs in" in said.err
    assert "homeostat down" in said.err


def test_a_registered_model_answers_and_takes_labels(registered: System) -> None:
    rows = [{"x": 2.0, "y": 2.0, "colour": "red"}, {"x": -2.0, "y": -2.0, "colour": "green"}]
    status, answer = registered.ask("POST", "/v1/models/signs:predict", {"rows": rows})
    assert status == 200
    assert [prediction["class"] for prediction in answer["predictions"]] == ["1", "0"]
    labels = [{"id": prediction["id"], "label": label} for prediction, label in zip(answer["predictions"], (1, 0), strict=True)]
    assert registered.ask("POST", "/v1/labels", {"labels": labels}) == (200, {"accepted": 2})


def test_the_same_model_is_not_registered_twice(registered: System, table: Path) -> None:
    said = homeostat("register", "signs", "--data", str(table), "--target", "up", "--home", str(registered.home))
    assert said.status == 1
    assert "registered already" in said.err
    assert "homeostat retrain signs" in said.err


def test_status_shows_every_role_ready_and_the_model_served(registered: System) -> None:
    found = homeostat("status", "--data", str(registered.home), "--json").document
    assert found["roles"] == dict.fromkeys((role.name for role in ROLES), True)
    model = found["models"]["signs"]
    assert model["served_generation"] == model["generation"]
    said = homeostat("status", "--data", str(registered.home))
    assert said.status == 0
    assert "signs" in said.out


def test_a_rollback_without_a_release_before_is_refused_in_words(registered: System) -> None:
    said = homeostat("rollback", "signs", "--data", str(registered.home), "--json")
    assert said.status == 1
    assert said.document["decisions"][0]["kind"] == "Refused"


def test_the_same_retrain_command_twice_is_one_run(registered: System) -> None:
    arguments = ("retrain", "signs", "--reason", "a test", "--id", "command-1", "--data", str(registered.home), "--json")
    first, second = homeostat(*arguments), homeostat(*arguments)
    assert (first.status, second.status) == (0, 0), (first, second)
    assert [decision["kind"] for decision in first.document["decisions"]] == ["TrainingStarted"]
    assert [decision["kind"] for decision in second.document["decisions"]] == ["Refused"]
    found = homeostat("history", "signs", "--all", "--data", str(registered.home), "--json").document["decisions"]
    assert [decision["kind"] for decision in found].count("TrainingStarted") == 1
    assert found[0]["kind"] == "Registered"


def test_every_decision_follows_from_the_log(registered: System) -> None:
    said = homeostat("replay", "--data", str(registered.home), "--json")
    assert said.status == 0, said
    assert said.document["same"] is True
    assert said.document["decisions"] >= 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("history", "nobody"), 1, "no model 'nobody'; "),
        (("retrain", "nobody", "--reason", "x"), 1, "homeostat register nobody"),
        (("retrain", "signs"), 2, "--reason"),
        (("rollback", "signs", "--to", "ffffffff"), 2, "no release that served begins with"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_in_one_sentence(
    registered: System, arguments: tuple[str, ...], status: int, said: str
) -> None:
    ended = homeostat(*arguments, "--data", str(registered.home))
    assert ended.status == status
    assert said in ended.err


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("x,up\n1,0\n", "few.csv", "cannot be trained on this table"),
        ("x,y\n1,0\n", "other.csv", "has no column 'up'; it has: x, y"),
        ("x,up\n", "empty.csv", "has no rows"),
        ("x,up\n1,0\n", "table.xlsx", "neither .csv nor .parquet"),
    ],
)
def test_a_table_that_makes_no_model_is_refused(system: System, tmp_path: Path, content: str, name: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    ended = homeostat("register", "other", "--data", str(path), "--target", "up", "--home", str(system.home))
    assert ended.status == 2
    assert said in ended.err


def test_a_role_that_is_killed_comes_back(registered: System) -> None:
    def monitor() -> int | None:
        wanted = ["homeostat.cli", "monitor", "--data", str(registered.home)]
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if all(part in line for part in wanted):
                return int(process.pid)
        return None

    before = monitor()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    eventually(lambda: monitor() not in (None, before))
    eventually(lambda: homeostat("status", "--data", str(registered.home), "--json").document["roles"]["monitor"])
    assert "monitor ended with signal SIGKILL" in (registered.home / "logs" / "supervisor.log").read_text()


def test_commands_without_a_system_name_the_next_step(tmp_path: Path) -> None:
    for command in (("history", "m"), ("retrain", "m", "--reason", "x"), ("replay",), ("pause", "--all"), ("models",)):
        said = homeostat(*command, "--data", str(tmp_path), "--json")
        assert said.status == 1
        assert "homeostat up" in said.document["error"]
    assert homeostat("status", "--data", str(tmp_path), "--json").document["running"] is False


def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Killed as soon as everything has been started: whatever it is doing then, it ends."""
    home = tmp_path / "data"
    command = [sys.executable, "-m", "homeostat.cli", "up", "--port", "0", "--data", str(home)]
    supervisor = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children: list[psutil.Process] = []

    def all_started() -> bool:
        nonlocal children
        children = supervisor.children(recursive=True)
        return len(children) >= len(ROLES) + 2  # the roles, the broker's keeper, and the broker

    try:
        eventually(all_started, 120.0)
        supervisor.kill()
        eventually(lambda: not any(alive(child) for child in children))
    finally:
        for child in (supervisor, *children):
            if alive(child):
                child.kill()
        supervisor.wait()


def test_a_policy_file_that_cannot_be_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "m.toml").write_text("[canary]\nmargins = 1\n")
    for detach in ((), ("--detach",)):
        said = homeostat("up", "--port", "0", "--data", str(tmp_path), *detach)
        assert said.status == 2
        assert "m.toml: unknown key canary.margins; valid in [canary] are: " in said.err
    assert not (tmp_path / "broker").exists()


def test_policy_files_are_read_at_the_start_and_kept_at_a_registration(registered: System) -> None:
    """One for a model that nobody registered is said, and does nothing."""
    assert "no model 'ghost' is registered" in (registered.home / "logs" / "up.log").read_text()
    assert (registered.home / "policies" / "signs.toml").read_text() == "[recall]\nreleases = 3 # few\n"
    shown = homeostat("policy", "show", "signs", "--data", str(registered.home), "--json").document
    assert shown["policy"]["recall"]["releases"] == 3


def test_a_log_is_followed_until_it_is_interrupted(registered: System) -> None:
    log = registered.home / "logs" / "supervisor.log"
    command = [sys.executable, "-m", "homeostat.cli", "logs", "--follow", "--lines", "1", "--data", str(registered.home)]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert following.stdout is not None
        assert following.stdout.readline()
        with log.open("a") as file:
            file.write("something new\n")
        assert following.stdout.readline() == "something new\n"
        following.send_signal(signal.SIGINT)
        assert following.wait(10.0) == 0
    finally:
        following.kill()
        following.wait()


def test_a_purge_asks_first_and_spares_what_is_not_ours(registered: System) -> None:
    """Refused in each way, with everything still running."""
    foreign = registered.home / "thesis.txt"
    foreign.write_text("mine")
    said = homeostat("down", "--purge", "--yes", "--data", str(registered.home))
    assert (said.status, "thesis.txt" in said.err) == (1, True)
    foreign.unlink()
    assert homeostat("down", "--purge", "--data", str(registered.home)).status == 1  # nobody answers the question
    assert homeostat("down", "--purge", "--json", "--data", str(registered.home)).status == 2
    assert homeostat("status", "--data", str(registered.home)).status == 0


def test_down_leaves_nothing_running(registered: System) -> None:
    """Last: it ends the system of this file."""
    pid = int((registered.home / "supervisor.pid").read_text())
    children = psutil.Process(pid).children(recursive=True)
    said = homeostat("down", "--data", str(registered.home), "--json")
    assert said.status == 0
    assert said.document["stopped"] is True
    assert not [child for child in children if alive(child)]
    assert homeostat("down", "--data", str(registered.home), "--json").document["stopped"] is False
    said = homeostat("down", "--purge", "--yes", "--data", str(registered.home), "--json")
    assert (said.status, said.document["purged"]) == (0, True)
    assert [path.name for path in registered.home.iterdir()] == ["supervisor.pid"]
