"""`restore`: a lost log made anew from the mirror of decisions."""

from __future__ import annotations

from typing import Annotated

import typer

from config.settings import load
from homeostat.commands.options import DATA, DEFAULT_HOME, Home, Json, Reason, person
from homeostat.commands.output import Failure, answer, say

Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap-servers", help="Make it in this Kafka cluster, whose topics must be empty.")
]


def restore(reason: Reason, home: Home = DEFAULT_HOME, bootstrap_servers: Bootstrap = None, as_json: Json = False) -> None:
    """Make a lost log anew from the mirror: every model as it was, one incarnation higher."""
    # Imported here: no other command needs a broker of its own.
    from homeostat.restore import CannotRestore
    from homeostat.restore import restore as made_anew
    from streams.adapters.embedded_broker import BrokerFailed

    overrides: dict[str, object] = {}
    if bootstrap_servers is not None:
        overrides = {"bootstrap_servers": bootstrap_servers, "broker_port": 0}
    settings = load(str(home), overrides=overrides)
    try:
        result = made_anew(settings, actor=person(), reason=reason, say=lambda text: say(text, as_json=as_json))
    except (CannotRestore, BrokerFailed) as error:
        raise Failure(str(error)) from error
    for warning in result.warnings:
        say(f"warning: {warning}", as_json=as_json)
    if as_json:
        answer({"restored": result.models, "lake": str(result.lake), "warnings": list(result.warnings), "data": settings.data})
        return
    for model, incarnation in result.models.items():
        say(f"{model} is back, incarnation {incarnation}")
    say(f"go on with `homeostat up --data {settings.data}`")


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=DATA)(restore)
