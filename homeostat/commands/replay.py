"""`replay`: whether anyone who folds the log comes to the same decisions."""

from __future__ import annotations

import msgspec
import typer

from homeostat.commands.options import DEFAULT_HOME, LOOK, Home, Json, connected
from homeostat.commands.output import answer, say


def replay(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Recompute every decision from the log, and compare."""
    from homeostat import replay as replaying

    result = replaying.run(connected(home))
    same = not result.differing
    if as_json:
        # dataclass to plain values
        answer({"same": same, **msgspec.to_builtins(result)})
    else:
        say(f"{result.records} records of control, {result.decisions} decisions, {result.recomputed} recomputed")
        for line in result.differing:
            say(f"  differs: {line}")
        say("every decision follows from the log" if same else f"{len(result.differing)} decisions differ")
    if not same:
        raise typer.Exit(1)


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=LOOK)(replay)
