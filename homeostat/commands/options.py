"""Options that several commands share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.settings import Settings, load
from homeostat.commands.output import Failure
from homeostat.pid_file import running_pid

DEFAULT_HOME = Path("homeostat-data")

Home = Annotated[
    Path,
    typer.Option("--data", "--home", envvar="HOMEOSTAT_DATA", help="Directory of everything that is kept.", show_default=True),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on one line.")]
Model = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]


def connected(home: Path) -> Settings:
    """Settings of a Homeostat that runs here, or of the cluster that they name."""
    settings = load(str(home))
    if not settings.bootstrap_servers or (settings.broker_port and running_pid(settings.root) is None):
        raise Failure(f"no Homeostat runs in {home}; start one with `homeostat up --data {home}`.")
    return settings
