"""Options that several commands share, and what they lead to."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Final

import typer

from config.settings import Settings, load_chosen
from homeostat.commands.output import MISUSED, Failure
from homeostat.pid_file import running_pid

DEFAULT_HOME = Path("homeostat-data")

RUN: Final = "Run"
LOOK: Final = "Look"
STEER: Final = "Steer"
DATA: Final = "Data"
"""The panels of `homeostat --help`."""

LEAST_PREFIX: Final = 6
"""So many characters of an id are enough to name it, where they are unique."""

SHOWN: Final = 20
"""Candidates that a refusal names."""

Home = Annotated[
    Path,
    typer.Option("--data", "--home", envvar="HOMEOSTAT_DATA", help="Directory of everything that is kept.", show_default=True),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on one line.")]
Model = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]
AnyModel = Annotated[str, typer.Argument(help="Only this model.", show_default="all")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the record.", show_default=False)]
Wait = Annotated[float, typer.Option("--wait", min=0.0, help="Seconds to wait for the decision, and for serving to follow it.")]

WAIT_S: Final = 30.0


def connected(home: Path) -> Settings:
    """Settings of a Homeostat that runs here, or of the cluster that they name."""
    settings = load_chosen(str(home))
    if not settings.bootstrap_servers or (settings.broker_port and running_pid(settings.root) is None):
        raise Failure(f"no Homeostat runs in {home}; start one with `homeostat up --data {home}`.")
    return settings


def person() -> str:
    """Who gives a command, as records name them."""
    try:
        return f"person:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return "person"


def named(what: str, begin: str, known: dict[str, str]) -> str:
    """The one known id that begins so; `known` maps each to what tells it apart. Raises Failure with the candidates."""
    matching = [begin] if begin in known else sorted(name for name in known if begin and name.startswith(begin))
    if len(matching) == 1 and (matching[0] == begin or len(begin) >= LEAST_PREFIX):
        return matching[0]
    shown = {name: known[name] for name in matching} or known
    listed = "; ".join(f"{name[:12]} ({about})" if about else name[:12] for name, about in list(shown.items())[-SHOWN:])
    if not matching:
        raise Failure(f"no {what} begins with {begin!r}; {f'there are: {listed}' if listed else 'there is none'}.", MISUSED)
    if len(begin) < LEAST_PREFIX:
        raise Failure(f"{begin!r} is too short to name a {what}; give {LEAST_PREFIX} characters or more of: {listed}.", MISUSED)
    raise Failure(f"{begin!r} is the beginning of {len(matching)}: {listed}; give more of it.", MISUSED)
