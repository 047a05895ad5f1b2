"""`runs`: every training, recall and offer, and one of them in full."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import typer

from config.settings import Settings
from homeostat.commands.log import control_records, decisions_by_model, route_of
from homeostat.commands.options import DEFAULT_HOME, LOOK, Home, Json, connected, named
from homeostat.commands.output import MISUSED, Failure, answer, cell, moment, number, people, say, short, table
from homeostat.commands.steering import decision_document
from homeostat.model_view import Run, model_view
from streams.adapters.store import DirectoryStore
from streams.events import Control, TrainingFinished, TrainingOrder
from streams.release import BlobCorrupt, BlobMissing
from trainer.runcard import RunCard

SHOW: Final = "show"
_MEASURED: Final = {"Promoted", "BakeEnded", "RolledBack", "CandidateRejected"}

What = Annotated[str, typer.Argument(metavar="MODEL|show", help="Only of this model; or `show RUN`.", show_default=False)]
WhichRun = Annotated[str, typer.Argument(metavar="RUN", help="With show: its id, or how it begins.", show_default=False)]


def runs(what: What = "", run: WhichRun = "", home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show trainings and what came of them; `runs show RUN`: one in full."""
    if run and what != SHOW:
        raise Failure(f"`runs` takes a model, or `{SHOW}` and a run; got {what!r} and {run!r}.", MISUSED)
    settings = connected(home)
    known = [each for found in decisions_by_model(settings).values() for each in model_view(found).runs]
    if run:
        chosen = named("run", run, {each.run: f"{each.model}, {each.state}" for each in known})
        _tell_run(settings, next(each for each in known if each.run == chosen), as_json=as_json)
        return
    if what:
        route_of(settings, what)
    _tell_runs([each for each in known if what in ("", each.model)], as_json=as_json)


def _tell_runs(found: list[Run], *, as_json: bool) -> None:
    found = sorted(found, key=lambda run: run.since)
    if as_json:
        answer({"runs": [_summary(run) for run in found]})
        return
    if not found:
        say("no run yet: one is started when it pays, or by `homeostat retrain MODEL --reason ...`")
        return
    shown = table("Runs", "run", "model", "since", "state", "candidate", "because")
    for run in found:
        shown.add_row(run.run[:8], cell(run.model), moment(run.since), run.state, run.release[:12] or "-", cell(run.latest.why))
    people.print(shown)


def _summary(run: Run) -> dict[str, Any]:
    return {
        "run": run.run,
        "model": run.model,
        "since": run.since,
        "state": run.state,
        "attempts": run.attempts,
        "candidate": run.release,
        "why": run.latest.why,
    }


def _tell_run(settings: Settings, run: Run, *, as_json: bool) -> None:
    order = next((decision.order for decision in reversed(run.decisions) if decision.order is not None), None)
    ends = [decision for decision in run.decisions if decision.kind in {"TrainingEnded", "Recalled", "ChallengerFrozen"}]
    records = control_records(settings, {(end.partition, end.offset) for end in ends})
    result = next((record for record in records.values() if getattr(record, "run", "") == run.run), None)
    card, fault = _card(settings, result)
    worth = _worth(run)
    document = {
        **_summary(run),
        "order": None if order is None else _order(order),
        "result": None if result is None else _result(result),
        "card": None if card is None else msgspec.to_builtins(card),
        "card_fault": fault,
        "decisions": [decision_document(decision) for decision in run.decisions],
        "worth": worth,
    }
    if as_json:
        answer(document)
        return
    say(f"run {run.run} of {run.model}: {run.state} ({run.latest.why})")
    _section("order", document["order"])
    _section("result", document["result"])
    if card is not None:
        _section("run card", _card_lines(card))
    elif fault:
        say(f"run card: {fault}")
    say("what came of it")
    for decision in run.decisions:
        say(f"  {moment(decision.at)} {decision.id[:8]} {decision.kind}: {decision.why}")
    if worth is None:
        say("what it was worth: not known; it is measured on labelled rows beside the champion")
    else:
        word = "less" if worth["gain_per_row"] >= 0 else "more"
        say(
            f"what it was worth: it lost {number(abs(worth['gain_per_row']))} {word} a row than the champion beside it, on "
            f"{number(worth['rows'])} labelled rows ({worth['until']})"
        )


def _worth(run: Run) -> dict[str, Any] | None:
    """What the paired losses said of its candidate when they were last counted; None: no labelled row had both."""
    for decision in reversed(run.decisions):
        rows = decision.numbers.get("labelled", 0.0)
        if decision.kind in _MEASURED and rows:
            return {"gain_per_row": -decision.numbers["loss_difference"], "rows": rows, "until": decision.kind}
    return None


def _order(order: TrainingOrder) -> dict[str, Any]:
    return {
        "attempt": order.attempt,
        "champion": order.champion,
        "as_of": order.as_of,
        "seed": order.seed,
        "cause": order.cause,
        "recall": list(order.recall),
        "left_out": [f"{rule.feature}: {rule.kind} since {moment(rule.since)}" for rule in order.quarantine],
        "accepted": list(order.accepted),
        **{f"training.{name}": value for name, value in msgspec.to_builtins(order.policy.training).items()},
    }


def _result(record: Control) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    hidden = {"id", "model", "schema", "signature", "run"}
    return {name: value for name, value in plain.items() if name not in hidden}


def _card(settings: Settings, result: Control | None) -> tuple[RunCard | None, str]:
    if not isinstance(result, TrainingFinished):
        return None, ""
    try:
        return msgspec.json.decode(DirectoryStore(settings.store).get(result.card), type=RunCard), ""
    except (BlobMissing, BlobCorrupt, msgspec.DecodeError) as error:
        return None, f"cannot be read: {error}"


def _card_lines(card: RunCard) -> dict[str, Any]:
    return {
        "title": card.title,
        "took": f"{number(card.duration_s)} s on {card.executor}",
        "price": card.price,
        "trained_until": card.trained_until,
        "parameters": card.parameters,
        "metrics": card.metrics,
        "inputs": card.inputs,
        "to repeat": card.interpolated_command,
    }


def _section(title: str, values: dict[str, Any] | None) -> None:
    if values is None:
        return
    say(title)
    for name, value in values.items():
        if value not in (None, "", [], {}):
            say(f"  {name}: {short(value)}")


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=LOOK)(runs)
