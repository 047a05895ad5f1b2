"""The roles as processes: hidden commands that the supervisor, or a deployment, starts."""

from __future__ import annotations

import importlib
import logging
import signal
import threading
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from config.settings import load
from homeostat.commands.options import DEFAULT_HOME, Home
from homeostat.parent_death import end_with_parent

Parent = Annotated[int, typer.Option("--parent", hidden=True, help="End when this process, which started it, ends.")]

MODULES: Final = {
    "broker": "homeostat.broker",
    "serve": "homeostat.serve",
    "monitor": "homeostat.monitor",
    "agents": "homeostat.agents",
    "control": "homeostat.controller",
    "standby": "homeostat.standby",
    "trainer": "homeostat.trainer",
}


def role_command(module: str) -> Callable[..., None]:
    """The command that runs the role of that module until SIGTERM or SIGINT."""

    def run(home: Home = DEFAULT_HOME, parent: Parent = 0) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        stop = threading.Event()

        def ask(_number: int, _frame: Any) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask)
        if parent:
            end_with_parent(parent)
        # Imported here: a role loads its own libraries and nobody else's.
        importlib.import_module(module).run(load(str(home)), stop)

    return run


def add(app: typer.Typer) -> None:
    """Add one hidden command per role."""
    for name, module in MODULES.items():
        app.command(name, hidden=True, help=f"Run the role {name} as this process.")(role_command(module))
