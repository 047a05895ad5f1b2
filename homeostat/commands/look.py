"""`models` and `history`: what serves now, and what served when."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.settings import Settings
from homeostat.commands.log import Place, control_records, decisions, decisions_by_model, route_of, routes
from homeostat.commands.options import DEFAULT_HOME, LOOK, Home, Json, Model, connected
from homeostat.commands.output import answer, cell, moment, people, say, table
from homeostat.commands.policies import in_force
from homeostat.commands.steering import decision_document
from homeostat.model_view import ModelView, Served, model_view
from homeostat.policy_directory import InForce
from streams.events import Control, Decided, Route, Steering

Every = Annotated[bool, typer.Option("--all", help="Every decision, not only those that changed who serves.")]


def models(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show every model: what serves since when, what is tried, what is open."""
    settings = connected(home)
    known = routes(settings)
    by_model = {name: found for name, found in decisions_by_model(settings).items() if name in known}
    policies = in_force(settings, by_model)
    rows = [_row(route, model_view(by_model.get(name, [])), policies.get(name)) for name, route in known.items()]
    if as_json:
        answer({"models": rows})
        return
    if not rows:
        say("no model yet: register one with `homeostat register MODEL --data FILE --target COLUMN`")
        return
    shown = table("Models", "model", "serves", "tried", "open", "autonomy", "last heal")
    for row in rows:
        since = f"\nsince {moment(row['since'])}" if row["since"] else ""
        serves = f"{row['champion'][:12]}{since}"
        shown.add_row(cell(row["model"]), serves, _tried(row), _open(row), row["autonomy"] or "?", _heal(row))
    people.print(shown)


def _row(route: Route, view: ModelView, policy: InForce | None) -> dict[str, Any]:
    heal = view.last_heal
    return {
        "model": route.model,
        "champion": route.champion,
        "since": view.served[-1].since if view.served else None,
        "candidate": route.candidate,
        "step": route.step,
        "share": route.share,
        "control": route.control,
        "incidents": len(route.quarantine),
        "paused": view.paused is not None,
        "approvals": [question.id for question in view.questions],
        "autonomy": policy.policy.autonomy if policy else "",
        "last_heal": {"at": heal.since, "kind": heal.decision.kind, "release": heal.release} if heal else None,
    }


def _tried(row: dict[str, Any]) -> str:
    if row["candidate"]:
        return f"{row['candidate'][:12]}\n" + (f"answers {row['share']:.0%}" if row["step"] else "in shadow")
    return f"watched beside\n{row['control'][:12]}" if row["control"] else "-"


def _open(row: dict[str, Any]) -> str:
    count = row["incidents"]
    parts = [
        "[red]paused[/red]" if row["paused"] else "",
        f"[red]{count} data {'bug' if count == 1 else 'bugs'}[/red]" if count else "",
        "[yellow]approval[/yellow]" if row["approvals"] else "",
    ]
    return "\n".join(part for part in parts if part) or "-"


def _heal(row: dict[str, Any]) -> str:
    heal = row["last_heal"]
    return f"{heal['kind']}\n{moment(heal['at'])}" if heal else "-"


def history(model: Model, every: Every = False, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show what served when, and why; --all: every decision."""
    settings = connected(home)
    found = decisions(settings, model)
    if not found:
        route_of(settings, model)
    if every:
        _tell_decisions(model, found, as_json=as_json)
    else:
        _tell_served(settings, model, model_view(found).served, as_json=as_json)


def _tell_decisions(model: str, found: list[Decided], *, as_json: bool) -> None:
    if as_json:
        answer({"model": model, "decisions": [decision_document(decision) for decision in found]})
        return
    shown = table(f"Decisions about {model}", "at", "id", "decision", "why", "release", "run")
    for decision in found:
        shown.add_row(
            moment(decision.at), decision.id[:8], decision.kind, cell(decision.why), decision.release[:12], decision.run[:8]
        )
    people.print(shown)


def _tell_served(settings: Settings, model: str, served: tuple[Served, ...], *, as_json: bool) -> None:
    places = {(stretch.decision.partition, stretch.decision.offset) for stretch in served}
    records = control_records(settings, places)
    rows = [{**_stretch(stretch), "actor": _actor(stretch.decision, records)} for stretch in served]
    if as_json:
        answer({"model": model, "served": rows})
        return
    shown = table(f"What served {model}", "since", "until", "release", "by", "actor", "why")
    for row in rows:
        until = moment(row["until"]) if row["until"] else "[green]serves[/green]"
        by = f"{row['kind']} {row['decision'][:8]}"
        shown.add_row(moment(row["since"]), until, row["release"][:12], by, cell(row["actor"] or "-"), cell(row["why"]))
    people.print(shown)
    people.print("`homeostat explain ID` shows what led to one of them; --all shows every decision.", markup=False)


def _stretch(stretch: Served) -> dict[str, Any]:
    decision = stretch.decision
    return {
        "release": stretch.release,
        "since": stretch.since,
        "until": stretch.until,
        "kind": decision.kind,
        "why": decision.why,
        "decision": decision.id,
        "run": decision.run,
    }


def _actor(decision: Decided, records: dict[Place, Control]) -> str:
    """Who wrote the record that it was decided on; '' where that is no longer kept."""
    record = records.get((decision.partition, decision.offset))
    return record.actor if isinstance(record, Steering) and record.id == decision.cause else ""


def add(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (models, history):
        app.command(rich_help_panel=LOOK)(function)
