"""`logs`: what a role has written."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from config.settings import load
from homeostat.commands.options import DEFAULT_HOME, LOOK, Home, Json
from homeostat.commands.output import MISUSED, Failure, answer, printable
from homeostat.roles import ROLES
from homeostat.supervisor import BROKER

SUPERVISOR: Final = "supervisor"
NAMES: Final = (SUPERVISOR, BROKER, *(role.name for role in ROLES))
READ_BYTES: Final = 2**20
LOOK_EVERY_S: Final = 0.2

Role = Annotated[str, typer.Argument(metavar="ROLE", help=f"One of: {', '.join(NAMES)}.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")]
Lines = Annotated[int, typer.Option("--lines", "-n", min=0, help="The last so many.")]


def logs(
    role: Role = SUPERVISOR, follow: Follow = False, lines: Lines = 50, home: Home = DEFAULT_HOME, as_json: Json = False
) -> None:
    """Show the log of a role; the supervisor's says who died and came back."""
    if role not in NAMES:
        raise Failure(f"no role {role!r}; logs are kept of: {', '.join(NAMES)}.", MISUSED)
    if follow and as_json:
        raise Failure("--follow has no end, so that there is no object to print with --json; leave one of them out.", MISUSED)
    path = load(str(home)).logs / f"{role}.log"
    if not path.exists():
        raise Failure(f"there is no {path}: {role} has not run in {home}; see `homeostat status --data {home}`.")
    text, end = _tail(path, lines)
    if as_json:
        answer({"role": role, "file": str(path), "lines": text})
        return
    _write("".join(f"{line}\n" for line in text))
    if follow:
        _follow(path, end)


def _tail(path: Path, lines: int) -> tuple[list[str], int]:
    """The last lines, of what the last stretch of the file holds, and where the file ends."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        start = file.seek(max(0, end - READ_BYTES))
        found = file.read(end - start).decode(errors="replace").splitlines()
    whole = found[1:] if start else found  # the first of them may be cut
    return whole[len(whole) - lines :] if lines < len(whole) else whole, end


def _follow(path: Path, position: int) -> None:
    try:
        while True:
            size = path.stat().st_size if path.exists() else 0
            position = 0 if size < position else position  # it was moved aside, and begun anew
            if size > position:
                with path.open("rb") as file:
                    file.seek(position)
                    data = file.read(READ_BYTES)
                position += len(data)
                _write(data.decode(errors="replace"))
            else:
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        return  # how following ends


def _write(text: str) -> None:
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=LOOK)(logs)
