"""What commands say when the system, or the machine, does not do what they need; in process, with nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from config.settings import Settings
from homeostat import cli
from homeostat.commands.output import Failure, people
from homeostat.commands.status_view import print_status
from homeostat.commands.system import _stopped
from homeostat.commands.training import confirmed
from homeostat.pid_file import NAME, PidFile


@contextmanager
def serving(champion: str) -> Iterator[Settings]:
    """Something that answers for every model with that champion."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(msgspec.json.encode({"champion": champion, "generation": 3}))

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Settings(data="d", serving_port=server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_registration_is_confirmed_by_its_own_release() -> None:
    """That the model is served, by a release of another log or another registration, is not enough."""
    mine, other = "a" * 64, "b" * 64
    with serving(mine) as settings:
        assert confirmed(settings, "m", mine, 5.0)["generation"] == 3
    with serving(other) as settings, pytest.raises(Failure, match="serving answers with bbbbbbbbbbbb") as refusal:
        confirmed(settings, "m", mine, 0.0)
    assert refusal.value.document["served"]["champion"] == other
    with pytest.raises(Failure, match="serving does not answer for it"):
        confirmed(settings, "m", mine, 0.0)


@pytest.mark.parametrize("name", ["../m", ".m", "a b", "m" * 101])
def test_a_model_that_cannot_be_called_so_is_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Said before the table is looked at, or a system looked for."""
    arguments = ["register", name, "--data", str(tmp_path / "no.csv"), "--target", "y", "--home", str(tmp_path / "no")]
    assert cli.run(arguments) == 2
    assert "the name " in capsys.readouterr().err


def test_what_the_machine_does_not_do_is_said_with_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert cli.run(["up", "--detach", "--port", "0", "--data", str(file)]) == 1
    said = capsys.readouterr().err
    assert f"`homeostat up` could not go on: File exists: {file}; move it away, or name another place." in said


def test_a_second_start_leaves_the_log_of_the_first_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "up.log"
    log.parent.mkdir()
    log.write_text("of the one that runs")
    held = PidFile(tmp_path)
    held.acquire()
    try:
        assert cli.run(["up", "--detach", "--port", "0", "--data", str(tmp_path)]) == 1
    finally:
        held.release()
    assert "already runs" in capsys.readouterr().err
    assert log.read_text() == "of the one that runs"


def test_one_that_ended_by_itself_is_stopped(tmp_path: Path) -> None:
    """Between the look at its file and the signal."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    held = PidFile(tmp_path)
    held.acquire()
    (tmp_path / NAME).write_text(f"{ended.pid}\n")
    threading.Timer(0.2, held.release).start()
    assert _stopped(Settings(data=str(tmp_path))) == ended.pid
    assert ended.pid != os.getpid()


def test_status_shows_names_and_reasons_as_they_are() -> None:
    """Brackets are no markup, and nothing in them steers the terminal."""
    model = {
        "champion": "a" * 64, "candidate": "", "step": 0, "share": 0.0, "control": "", "generation": 1, "served_generation": 1,
        "last_decision": {"kind": "Refused", "why": "not [/red] so [bold]\x1b[2J", "at": "now"},
    }  # fmt: skip
    found = {
        "note": "",
        "running": True,
        "data": "[d]",
        "bootstrap_servers": "b",
        "roles": {},
        "leads": {},
        "models": {"m": model},
    }
    with people.capture() as captured:
        print_status(found)
    shown = "".join(captured.get().split())
    assert "[d]" in shown
    assert "[/red]" in shown
    assert "[bold]" in shown
    assert "\x1b" not in shown
