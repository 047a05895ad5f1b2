"""`restore`: a lost log made anew from the mirror of decisions."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Final

import typer

from config.settings import load
from homeostat.commands.options import DATA, DEFAULT_HOME, Home, Json, Reason, person
from homeostat.commands.output import Failure, answer, moment, say

Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap-servers", help="Make it in this Kafka cluster, whose topics must be empty.")
]

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


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
        with _ended_in_order():
            result = made_anew(settings, actor=person(), reason=reason, say=lambda text: say(text, as_json=as_json))
    except (CannotRestore, BrokerFailed) as error:
        raise Failure(str(error)) from error
    for warning in result.warnings:
        say(f"warning: {warning}", as_json=as_json)
    if as_json:
        answer(
            {
                "restored": {one.model: one.incarnation for one in result.models},
                "champions": {one.model: one.champion for one in result.models},
                "as_of": {one.model: one.as_of for one in result.models},
                "lake": str(result.lake),
                "warnings": list(result.warnings),
                "data": settings.data,
                "next": next_step(settings.data, bootstrap_servers),
            }
        )
        return
    for one in result.models:
        say(f"{one.model} is back, incarnation {one.incarnation}: {one.champion[:12]} serves, losses as of {moment(one.as_of)}")
    say(f"go on with `{next_step(settings.data, bootstrap_servers)}`")


def next_step(data: str, bootstrap_servers: str | None) -> str:
    """What starts everything on the log that was made: it is written nowhere yet that it lies in another cluster."""
    elsewhere = [] if bootstrap_servers is None else ["--bootstrap-servers", bootstrap_servers]
    return shlex.join(["homeostat", "up", "--data", data, *elsewhere])


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Signals that would end the process raise KeyboardInterrupt, so that the broker it started ends too."""
    before = {number: signal.signal(number, _interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in (*_ENDING, signal.SIGINT):  # a second one must not keep the broker from being stopped
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=DATA)(restore)
