"""`register`, `retrain`, `rollback` and `history`: what a person does with one model."""

from __future__ import annotations

import getpass
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from homeostat.commands.log import decisions, decisions_from_now, route_of, routes
from homeostat.commands.options import DEFAULT_HOME, Home, Json, Model, connected
from homeostat.commands.output import MISUSED, Failure, answer, people, say
from homeostat.policy_file import load_policy
from homeostat.serving_client import wait_served
from homeostat.write_control import write_control
from streams.events import Decided, RetrainRequested, RollBack
from streams.policy import Policy

SERVED_S: Final = 60.0
DECIDED_S: Final = 5.0

Table_ = Annotated[
    Path, typer.Option("--data", help="Training rows: a .csv or .parquet file, in time order.", show_default=False)
]
Target = Annotated[str, typer.Option("--target", help="Column to predict.", show_default=False)]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="TOML file with the model's policy; defaults where it is silent.")
]
# `--data` is the training table here, so the directory has its other name.
RegisterHome = Annotated[Path, typer.Option("--home", envvar="HOMEOSTAT_DATA", help="Directory of everything that is kept.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the record.", show_default=False)]
CommandId = Annotated[
    str | None, typer.Option("--id", help="Id of this command: the same id twice is one run.", show_default="new")
]
To = Annotated[str, typer.Option("--to", help="Release to go back to (or how its digest begins).", show_default="the one before")]


def register(
    model: Model,
    data: Table_,
    target: Target,
    policy: PolicyFile = None,
    home: RegisterHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Train a first champion on a table, and serve it."""
    from homeostat.registration import RegistrationRefused, read_table, register_model

    chosen = Policy() if policy is None else load_policy(policy)
    settings = connected(home)
    if model in routes(settings):
        raise Failure(f"{model!r} is registered already; `homeostat retrain {model} --reason ...` trains it anew.")
    say(f"training the first champion of {model} on {data}", as_json=as_json)
    try:
        record = register_model(settings, model, read_table(data, target), target, chosen, datetime.now(UTC))
    except RegistrationRefused as refusal:
        raise Failure(str(refusal), MISUSED) from refusal
    document = wait_served(settings, model, 0, SERVED_S)
    if document is None:
        raise Failure(f"{model} is registered, but serving does not answer with it after {SERVED_S:g} s; see `homeostat status`.")
    if as_json:
        answer({"model": model, "release": record.release, "contract": record.contract, "generation": document["generation"]})
    else:
        say(f"{model} is served: release {record.release[:12]}, generation {document['generation']}")


def retrain(model: Model, reason: Reason, command_id: CommandId = None, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Ask for a training now."""
    settings = connected(home)
    route_of(settings, model)
    record = RetrainRequested(
        id=command_id or str(uuid.uuid4()), at=datetime.now(UTC), model=model, actor=_person(), reason=reason, cause="manual"
    )
    with decisions_from_now(settings) as follow:
        write_control(settings, record)
        made = [
            decision
            for decision in follow(lambda decision: decision.cause == record.id, DECIDED_S)
            if decision.cause == record.id
        ]
    _tell_command(record.id, made, as_json=as_json)


def rollback(model: Model, to: To = "", reason: Reason = "by hand", home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Bring an earlier release back."""
    settings = connected(home)
    route_of(settings, model)
    record = RollBack(
        id=str(uuid.uuid4()),
        at=datetime.now(UTC),
        model=model,
        actor=_person(),
        reason=reason,
        to=_release(decisions(settings, model), to) if to else "",
    )
    with decisions_from_now(settings) as follow:
        write_control(settings, record)
        made = [
            decision
            for decision in follow(lambda decision: decision.cause == record.id, DECIDED_S)
            if decision.cause == record.id
        ]
    rolled_back = any(decision.kind == "RolledBack" for decision in made)
    if rolled_back and wait_served(settings, model, route_of(settings, model).generation, SERVED_S) is None:
        raise Failure(
            f"{model} was rolled back, but serving does not answer with it after {SERVED_S:g} s; see `homeostat status`."
        )
    _tell_command(record.id, made, as_json=as_json)


def history(model: Model, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show every decision about a model, oldest first, with its reason."""
    settings = connected(home)
    found = decisions(settings, model)
    if not found:
        route_of(settings, model)
    if as_json:
        answer({"model": model, "decisions": [_decision(decision) for decision in found]})
        return
    table = Table("at", "decision", "why", "release", "run", title=f"Decisions about {model}", title_justify="left")
    for decision in found:
        row = (decision.at.isoformat(timespec="seconds"), decision.kind, decision.why, decision.release[:12], decision.run[:8])
        table.add_row(*row)
    people.print(table)


def _tell_command(command_id: str, made: list[Decided], *, as_json: bool) -> None:
    refused = [decision for decision in made if decision.kind in {"Refused", "TrainingRefused"} and not _served_already(decision)]
    if as_json:
        answer({"id": command_id, "decisions": [_decision(decision) for decision in made], "decided": bool(made)})
    else:
        say(f"command {command_id}")
        for decision in made:
            say(f"  {decision.kind}: {decision.why}" + (f" (run {decision.run})" if decision.run else ""))
        if not made:
            say(f"  written; nothing was decided on it within {DECIDED_S:g} s: look at `homeostat history` later")
    if refused:
        raise typer.Exit(1)


def _served_already(decision: Decided) -> bool:
    # The same command again, or a run under way that serves it too: what was asked for happens.
    return bool(decision.run) or decision.why.startswith("repeated")


def _decision(decision: Decided) -> dict[str, Any]:
    return {
        "id": decision.id,
        "at": decision.at.isoformat(),
        "kind": decision.kind,
        "why": decision.why,
        "numbers": decision.numbers,
        "release": decision.release,
        "run": decision.run,
        "cause": decision.cause,
        "offset": decision.offset,
    }


def _release(found: list[Decided], prefix: str) -> str:
    known = {decision.release for decision in found if decision.release}
    matching = sorted(release for release in known if release.startswith(prefix))
    if len(matching) != 1:
        have = ", ".join(sorted(release[:12] for release in known))
        raise Failure(f"{prefix!r} names {len(matching)} releases of this model; name one of: {have}.", MISUSED)
    return matching[0]


def _person() -> str:
    try:
        return f"person:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return "person"


def add(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (register, retrain, rollback, history):
        app.command()(function)
