"""`pause` and `resume`: the kill switch, of one model or of all."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.settings import Settings
from homeostat.commands.log import decisions_by_model, route_of, routes
from homeostat.commands.options import DEFAULT_HOME, STEER, WAIT_S, Home, Json, Wait, connected
from homeostat.commands.output import MISUSED, Failure, answer, say
from homeostat.commands.steering import Answered, ask, described, signed, undecided
from homeostat.model_view import model_view
from streams.events import Pause, Resume

OneModel = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model; or --all.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Every registered model at once.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it stands in the record.")]


def pause(
    model: OneModel = "",
    every: All = False,
    reason: Why = "by hand",
    wait: Wait = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """The kill switch: hold a model, or all; only ways back stay open."""
    _steer(connected(home), Pause, model, every=every, reason=reason, wait=wait, as_json=as_json)


def resume(
    model: OneModel = "",
    every: All = False,
    reason: Why = "by hand",
    wait: Wait = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Let a model, or all, steer itself again."""
    _steer(connected(home), Resume, model, every=every, reason=reason, wait=wait, as_json=as_json)


def _steer(
    settings: Settings,
    kind: type[Pause | Resume],
    model: str,
    *,
    every: bool,
    reason: str,
    wait: float,
    as_json: bool,
) -> None:
    records = [kind(**signed(name, reason)) for name in _meant(settings, model, every=every)]
    _tell(settings, ask(settings, records, wait), held=kind is Pause, as_json=as_json)


def _meant(settings: Settings, model: str, *, every: bool) -> list[str]:
    if bool(model) == every:
        raise Failure("say which: a MODEL, or --all.", MISUSED)
    if not every:
        return [route_of(settings, model).model]
    models = list(routes(settings))
    if not models:
        raise Failure("no model is registered, so there is nothing to hold or let go.")
    return models


def _tell(settings: Settings, answered: list[Answered], *, held: bool, as_json: bool) -> None:
    """What holds now, model by model, by the decisions in the log. Raises Failure unless all are as asked."""
    # Not what was answered counts but what holds: one that was held already is held.
    known = decisions_by_model(settings)
    models: list[dict[str, Any]] = []
    for each in answered:
        view = model_view(known.get(each.record.model, []))
        models.append({**described(each), "paused": view.paused is not None, "seconds": round(each.seconds, 3)})
    told = [each.record.model for each in answered if each.decisions]
    silent = [each.record.model for each in answered if not each.decisions]
    other = [one["model"] for one in models if one["model"] in told and one["paused"] is not held]
    seconds = max((each.seconds for each in answered if each.decisions), default=0.0)
    word = "held" if held else "let go"
    document = {"models": models, "seconds": round(seconds, 3), "done": not silent and not other}
    if not as_json:
        for each in answered:
            if each.decisions:
                say(f"{each.record.model}: {each.why()}")
    if silent or other:
        what = f"{len(told) - len(other)} of {len(models)} models {word}"
        if other:
            raise Failure(f"{what}; not {word}: {', '.join(other)}.", document=document)
        raise Failure(undecided(settings, f"{what}; the record for {', '.join(silent)} is written"), document=document)
    if as_json:
        answer(document)
    else:
        say(
            f"{len(models)} {'model' if len(models) == 1 else 'models'} {word}, {seconds:.2f} s from the write to the last decision"
        )


def add(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (pause, resume):
        app.command(rich_help_panel=STEER)(function)
