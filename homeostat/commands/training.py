"""`register` and `retrain`: trainings that a person wants."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from config.settings import Settings
from homeostat.commands.log import route_of, routes
from homeostat.commands.options import DEFAULT_HOME, STEER, WAIT_S, Home, Json, Model, Reason, Wait, connected
from homeostat.commands.output import MISUSED, Failure, answer, number, say
from homeostat.commands.steering import ask, conclude, signed
from homeostat.policy_directory import keep_policy
from homeostat.policy_file import load_policy
from homeostat.serving_client import model_document, wait_served
from streams import model_name
from streams.adapters.store import DirectoryStore
from streams.events import RetrainRequested
from streams.policy import Policy

SERVED_S: Final = 60.0
ROWS_A_PERIOD_UNKNOWN: Final = "the table has no times; say with --rows-a-period how many labelled rows a period will have"

TrainingTable = Annotated[
    Path, typer.Option("--data", help="Training rows: a .csv or .parquet file, in time order.", show_default=False)
]
Target = Annotated[str, typer.Option("--target", help="Column to predict.", show_default=False)]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="TOML file with the model's policy; defaults where it is silent.")
]
# `--data` is the training table here, so the directory has its other name.
RegisterHome = Annotated[Path, typer.Option("--home", envvar="HOMEOSTAT_DATA", help="Directory of everything that is kept.")]
CommandId = Annotated[
    str | None, typer.Option("--id", help="Id of this command: the same id twice is one run.", show_default="new")
]
Rows = Annotated[
    int, typer.Option("--rows", min=0, help="Train on so many of the newest rows.", show_default="as the policy says")
]

RowsAPeriod = Annotated[
    int,
    typer.Option(
        "--rows-a-period",
        min=0,
        help="Labelled rows a decision period will have: tells what noise would buy.",
        show_default=False,
    ),
]


def register(
    model: Model,
    data: TrainingTable,
    target: Target,
    policy: PolicyFile = None,
    rows_a_period: RowsAPeriod = 0,
    home: RegisterHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Train a first champion on a table, and serve it."""
    from homeostat.registration import NOISE, RegistrationRefused, noise_told, read_table, register_model

    if wrong := model_name.fault(model):
        raise Failure(f"{wrong}; choose another. Nothing was trained.", MISUSED)
    chosen = Policy() if policy is None else load_policy(policy)
    settings = connected(home)
    if model in routes(settings):
        raise Failure(f"{model!r} is registered already; `homeostat retrain {model} --reason ...` trains it anew.")
    say(f"training the first champion of {model} on {data}", as_json=as_json)
    try:
        table = read_table(data, target)
        record = register_model(settings, model, table, target, chosen, datetime.now(UTC), rows_a_period=rows_a_period)
    except RegistrationRefused as refusal:
        raise Failure(str(refusal), MISUSED) from refusal
    document = confirmed(settings, model, record.release, SERVED_S)
    if policy is not None:
        keep_policy(settings.policies, model, policy.read_bytes())
    noise, why_not = (
        noise_told(DirectoryStore(settings.store), record.release) if rows_a_period else (None, ROWS_A_PERIOD_UNKNOWN)
    )
    if as_json:
        known = {"model": model, "release": record.release, "contract": record.contract, "generation": document["generation"]}
        answer({**known, NOISE: noise, "noise_not_told": why_not})
        return
    say(f"{model} is served: release {record.release[:12]}, generation {document['generation']}")
    if noise is None:
        say(f"what noise would buy is not told: {why_not}")
    else:
        say(
            f"noise alone would buy {number(noise)} trainings in 1,000 periods of {rows_a_period:,} rows, at {chosen.staleness.retrain_cost} "
            f"a training (the policy allows {number(chosen.staleness.noise_trainings)}); `homeostat worth {model}` tells it of live rows"
        )


def confirmed(settings: Settings, model: str, release: str, wait_s: float) -> dict[str, Any]:
    """Serving's document of the model once that release answers. Raises Failure with what serving says instead."""
    served = wait_served(settings, model, 0, wait_s, release)
    if served is not None:
        return served
    now = model_document(settings, model)
    if now is None:
        said = "serving does not answer for it"
    else:
        said = f"serving answers with {str(now.get('champion'))[:12]} (generation {now.get('generation')})"
    raise Failure(
        f"the registration of {model} with release {release[:12]} is written, but {said} after {wait_s:g} s; "
        f"see `homeostat history {model} --all --data {settings.data}` and `homeostat logs serve --data {settings.data}`.",
        document={"model": model, "release": release, "done": False, "served": now},
    )


def retrain(
    model: Model,
    reason: Reason,
    rows: Rows = 0,
    command_id: CommandId = None,
    wait: Wait = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Ask for a training now."""
    settings = connected(home)
    route_of(settings, model)
    record = RetrainRequested(**signed(model, reason, command_id), cause="manual", window_rows=rows)
    (answered,) = ask(settings, [record], wait)
    conclude(settings, answered, {"TrainingStarted", "RecallStarted"}, f"the training of {model}", as_json=as_json)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (register, retrain):
        app.command(rich_help_panel=STEER)(function)
