"""`up`, `down` and `status`: the whole on one machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from config.settings import Settings, load
from homeostat.commands.options import DEFAULT_HOME, Home, Json
from homeostat.commands.output import Failure, answer, say
from homeostat.commands.status_view import document, print_status
from homeostat.pid_file import running_pid, wait_released
from homeostat.roles import SERVE

READY_S: Final = 120.0
DOWN_S: Final = 60.0

Port = Annotated[int | None, typer.Option("--port", help="Port of the HTTP API; 0: any free one.", show_default="8080")]
Bootstrap = Annotated[str | None, typer.Option("--bootstrap-servers", help="Use this Kafka cluster, not the embedded broker.")]
Detach = Annotated[bool, typer.Option("--detach", help="Give the terminal back once everything is ready.")]


def up(
    home: Home = DEFAULT_HOME,
    port: Port = None,
    bootstrap_servers: Bootstrap = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C or `homeostat down`."""
    overrides: dict[str, object] = {}
    if port is not None:
        overrides["serving_port"] = port
    if bootstrap_servers is not None:
        overrides |= {"bootstrap_servers": bootstrap_servers, "broker_port": 0}
    settings = load(str(home), overrides=overrides)
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
            _tell_ready(supervisor.settings, as_json=as_json)
        stop.wait()
    finally:
        say("stopping", as_json=as_json)
        supervisor.stop()


def _detached(settings: Settings, home: Path, overrides: dict[str, object], *, as_json: bool) -> None:
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
            _tell_ready(load(str(home)), as_json=as_json, detached=True)
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


def down(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Stop what `up` started; what is kept stays."""
    settings = load(str(home))
    pid = running_pid(settings.root)
    if pid is None:
        if as_json:
            answer({"stopped": False, "data": settings.data})
        else:
            say(f"nothing runs in {home}")
        return
    os.kill(pid, signal.SIGTERM)
    if not wait_released(settings.root, DOWN_S):
        raise Failure(f"process {pid} did not stop within {DOWN_S:g} s; end it with `kill -9 {pid}`: its children end with it.")
    if as_json:
        answer({"stopped": True, "pid": pid, "data": settings.data})
    else:
        say(f"stopped process {pid} and everything it started")


def status(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show which roles run and what every model is doing."""
    settings = load(str(home))
    found: dict[str, Any] = document(settings)
    if as_json:
        answer(found)
    else:
        print_status(found)
    if not found["running"]:
        raise typer.Exit(1)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
