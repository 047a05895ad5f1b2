"""`incidents`, `accept-change` and `release-quarantine`: data bugs, and what a person says of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from config.settings import Settings
from homeostat.commands.log import control_records, decisions, decisions_by_model, route_of, routes
from homeostat.commands.options import (
    DEFAULT_HOME,
    LOOK,
    STEER,
    WAIT_S,
    AnyModel,
    Home,
    Json,
    Model,
    Reason,
    Wait,
    connected,
    named,
)
from homeostat.commands.output import MISUSED, Failure, answer, cell, moment, number, people, say, table
from homeostat.commands.steering import ask, conclude, signed
from homeostat.incident_view import ABOUT_INCIDENTS, Incident
from homeostat.incident_view import incidents as incidents_of
from streams.adapters.store import DirectoryStore
from streams.events import AcceptChange, Decided, QuarantineRule, ReleaseQuarantine, Route
from streams.release import BlobCorrupt, BlobMissing, load_contract, load_release

Feature = Annotated[str, typer.Argument(help="Name of the feature.", show_default=False)]
WhichIncident = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, or how it begins.", show_default=False)]


def incidents(model: AnyModel = "", home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show data bugs: which rows are held back, since when, and how they ended."""
    settings = connected(home)
    known = {model: route_of(settings, model)} if model else routes(settings)
    by_model = decisions_by_model(settings)
    found = [(name, one) for name, route in known.items() for one in _incidents(settings, route, by_model.get(name, []))]
    if as_json:
        answer({"incidents": [{"model": name, **_document(one)} for name, one in found]})
        return
    if not found:
        say(f"no data bug was found{f' in {model}' if model else ''}")
        return
    shown = table("Data bugs", "incident", "model", "feature", "rows", "since", "until", "evidence")
    for name, one in found:
        until = moment(one.until) if one.until else "[red]open[/red]"
        rule = one.rule
        shown.add_row(
            rule.incident[:12], cell(name), cell(rule.feature), _rows(rule), moment(rule.since), until, cell(_evidence(one))
        )
    people.print(shown)


def _incidents(settings: Settings, route: Route, found: list[Decided]) -> tuple[Incident, ...]:
    about = [decision for decision in found if decision.kind in ABOUT_INCIDENTS]
    records = control_records(settings, {(decision.partition, decision.offset) for decision in about})
    pairs = [(decision, records.get((decision.partition, decision.offset))) for decision in about]
    return incidents_of(pairs, route.quarantine)


def _document(incident: Incident) -> dict[str, Any]:
    rule: dict[str, Any] = msgspec.to_builtins(incident.rule)
    return {
        **rule,
        "open": incident.until is None,
        "numbers": incident.opened.numbers if incident.opened else {},
        "opened": incident.opened.id if incident.opened else "",
        "why": incident.opened.why if incident.opened else "",
        "closed": incident.closed.id if incident.closed else "",
        "closed_why": incident.closed.why if incident.closed else "",
    }


def _rows(rule: QuarantineRule) -> str:
    match rule.kind:
        case "unit":
            low, high = ("?" if bound is None else number(bound) for bound in (rule.low, rule.high))
            return f"outside {low} to {high}"
        case "stuck":
            return f"stuck in bin {rule.bin}"
        case "missing":
            return "without a value"


def _evidence(incident: Incident) -> str:
    if incident.closed is not None:
        return incident.closed.why
    return incident.opened.why if incident.opened else "opened in a log that is gone"


def accept_change(
    model: Model,
    feature: Feature,
    reason: Reason,
    wait: Wait = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Say that a feature really changed: its incidents end, its range is lifted."""
    settings = connected(home)
    _check_feature(settings, route_of(settings, model), feature)
    (answered,) = ask(settings, [AcceptChange(**signed(model, reason), feature=feature)], wait)
    conclude(settings, answered, {"ChangeAccepted"}, f"the change of {feature} of {model}", as_json=as_json)


def _check_feature(settings: Settings, route: Route, feature: str) -> None:
    store = DirectoryStore(settings.store)
    try:
        contract = load_contract(store, load_release(store, route.champion).contract)
    except (BlobMissing, BlobCorrupt, msgspec.DecodeError):
        return  # the store is elsewhere, or hurt: the controller knows the model, and that is enough to say it
    names = sorted(each.name for each in contract.features)
    if feature not in names:
        raise Failure(f"{route.model} has no feature {feature!r}; it has: {', '.join(names)}.", MISUSED)


def release_quarantine(
    model: Model,
    incident: WhichIncident,
    reason: Reason,
    wait: Wait = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """End one incident: its rows may be learnt from. The triage goes on looking."""
    settings = connected(home)
    found = _incidents(settings, route_of(settings, model), decisions(settings, model))
    known = {one.rule.incident: f"{one.rule.feature}, {one.rule.kind}" for one in found}
    chosen = named("incident", incident, known)
    (answered,) = ask(settings, [ReleaseQuarantine(**signed(model, reason), incident=chosen)], wait)
    conclude(settings, answered, {"IncidentClosed"}, f"the release of incident {chosen[:12]} of {model}", as_json=as_json)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=LOOK)(incidents)
    app.command("accept-change", rich_help_panel=STEER)(accept_change)
    app.command("release-quarantine", rich_help_panel=STEER)(release_quarantine)
