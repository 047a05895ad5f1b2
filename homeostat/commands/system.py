"""`up`, `down` and `status`: the whole on one machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from config.settings import Settings, load, load_chosen
from homeostat.commands.options import DEFAULT_HOME, LOOK, RUN, Home, Json
from homeostat.commands.output import MISUSED, Failure, answer, say
from homeostat.commands.policies import apply_files
from homeostat.commands.status_view import document, print_status
from homeostat.orphans import end_orphans
from homeostat.pid_file import PidFile, running_pid, wait_released
from homeostat.policy_directory import load_policies
from homeostat.purge import NotOurs, contents, purge
from homeostat.roles import SERVE

READY_S: Final = 120.0
DOWN_S: Final = 60.0

Port = Annotated[int | None, typer.Option("--port", help="Port of the HTTP API; 0: any free one.", show_default="8080")]
Bootstrap = Annotated[str | None, typer.Option("--bootstrap-servers", help="Use this Kafka cluster, not the embedded broker.")]
Purge = Annotated[bool, typer.Option("--purge", help="Then delete all that is kept there: log, lake, releases, key.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Detach = Annotated[bool, typer.Option("--detach", help="Give the terminal back once everything is ready.")]


def up(
    home: Home = DEFAULT_HOME,
    port: Port = None,
    bootstrap_servers: Bootstrap = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Start everything on this machine, until Ctrl-C or `homeostat down`."""
    overrides: dict[str, object] = {}
    if port is not None:
        overrides["serving_port"] = port
    if bootstrap_servers is not None:
        overrides |= {"bootstrap_servers": bootstrap_servers, "broker_port": 0}
    settings = load(str(home), overrides=overrides)
    load_policies(settings.policies)  # a file that cannot be used is said before anything starts
    if detach:
        _detached(settings, home, overrides, as_json=as_json)
        return
    _attached(settings, as_json=as_json)


def _attached(settings: Settings, *, as_json: bool) -> None:
    from homeostat.supervisor import Supervisor

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())
    supervisor = Supervisor(settings, lambda text: say(text, as_json=as_json))
    try:
        supervisor.start(stop)
        if not stop.is_set():
            supervisor.wait_ready(READY_S, cancelled=stop)
        if not stop.is_set():
            apply_files(supervisor.settings, load_policies(supervisor.settings.policies), as_json=as_json)
            _tell_ready(supervisor.settings, as_json=as_json)
        stop.wait()
    finally:
        say("stopping", as_json=as_json)
        supervisor.stop()


def _detached(settings: Settings, home: Path, overrides: dict[str, object], *, as_json: bool) -> None:
    held = PidFile(settings.root)
    held.acquire()  # refused before the log of the one that runs is touched
    held.release()
    settings.logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "homeostat.cli", "up", "--data", str(home.absolute()), "--json"]
    if "serving_port" in overrides:
        command += ["--port", str(overrides["serving_port"])]
    if "bootstrap_servers" in overrides:
        command += ["--bootstrap-servers", str(overrides["bootstrap_servers"])]
    log = settings.logs / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + READY_S + 60.0
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failure(f"Homeostat did not start: {_last_error(log)}")
        if b'"ready": true' in log.read_bytes():
            _tell_ready(load_chosen(str(home)), as_json=as_json, detached=True)
            return
        time.sleep(0.1)
    process.terminate()
    raise Failure(f"Homeostat was not ready in time and was stopped; read the logs in {settings.logs}.")


def _last_error(log: Path) -> str:
    lines = [line.removeprefix("error: ") for line in log.read_text(errors="replace").splitlines() if line.startswith("error: ")]
    return lines[-1] if lines else f"read {log}."


def _tell_ready(settings: Settings, *, as_json: bool, detached: bool = False) -> None:
    host, port = SERVE.address(settings)
    address = f"http://{host}:{port}"
    if as_json:
        answer({"ready": True, "serving": address, "bootstrap_servers": settings.bootstrap_servers, "data": settings.data})
        return
    say(f"ready: {address} answers predictions; data and logs are in {settings.data}")
    say(f"stop it with `homeostat down --data {settings.data}`" if detached else "stop it with Ctrl-C")


def down(purge_too: Purge = False, yes: Yes = False, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Stop what `up` started; what is kept stays, unless --purge."""
    settings = load_chosen(str(home))
    if purge_too:
        _agree(settings, yes=yes, as_json=as_json)
    pid = _stopped(settings)
    end_orphans(settings)
    document: dict[str, Any] = {"stopped": pid is not None, "pid": pid, "data": settings.data, "purged": purge_too}
    if purge_too:
        _purge(settings)
    if as_json:
        answer(document)
        return
    say(f"nothing runs in {home}" if pid is None else f"stopped process {pid} and everything it started")
    if purge_too:
        say(f"deleted what was kept in {settings.data}")


def _agree(settings: Settings, *, yes: bool, as_json: bool) -> None:
    """Before anything is stopped. Raises Failure unless the directory is ours and somebody agrees."""
    try:
        found = contents(settings.root)
    except NotOurs as error:
        raise Failure(str(error)) from error
    if yes:
        return
    if as_json:
        raise Failure("--purge asks before it deletes; with --json say --yes.", MISUSED)
    names = ", ".join(path.name for path in found)
    if not typer.confirm(f"Delete {names} in {settings.data}? No release, label or decision is kept"):
        raise Failure("nothing was stopped, nothing was deleted.")


def _purge(settings: Settings) -> None:
    try:
        purge(settings.root)
    except NotOurs as error:  # something came in while it was being stopped
        raise Failure(str(error)) from error


def _stopped(settings: Settings) -> int | None:
    """The process that was stopped; None: there was none."""
    pid = running_pid(settings.root)
    if pid is None:
        return None
    with suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(pid, signal.SIGTERM)
    if not wait_released(settings.root, DOWN_S):
        raise Failure(f"process {pid} did not stop within {DOWN_S:g} s; end it with `kill -9 {pid}`: its children end with it.")
    return pid


def status(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show which roles run and what every model is doing."""
    settings = load_chosen(str(home))
    found: dict[str, Any] = document(settings)
    if as_json:
        answer(found)
    else:
        print_status(found)
    if not found["running"]:
        raise typer.Exit(1)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=RUN)(up)
    app.command(rich_help_panel=RUN)(down)
    app.command(rich_help_panel=LOOK)(status)
