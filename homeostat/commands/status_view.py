"""The state of everything on this machine: roles by their health, models by their route and their last decision."""

from __future__ import annotations

from typing import Any, Final

from rich.table import Table

from config.settings import Settings
from homeostat.commands.log import latest_decisions, routes
from homeostat.commands.output import Failure, cell, people
from homeostat.pid_file import running_pid
from homeostat.roles import CONTROL, STANDBY, Role, roles_of
from homeostat.serving_client import model_document
from streams import topics
from streams.events import Decided, Route

PARTITIONS: Final = topics.named(topics.CONTROL).partitions


def document(settings: Settings) -> dict[str, Any]:
    """What `status --json` prints."""
    pid = running_pid(settings.root)
    external = bool(settings.bootstrap_servers) and not settings.broker_port
    expected = roles_of(settings) if pid is not None or external else ()
    roles = {role.name: role.healthy(settings) for role in expected}
    found: dict[str, Any] = {
        "data": settings.data,
        "running": pid is not None or any(roles.values()),
        "pid": pid,
        "bootstrap_servers": settings.bootstrap_servers,
        "roles": roles,
        "leads": {role.name: _led(role, settings) for role in expected if role in (CONTROL, STANDBY)},
        "models": {},
        "note": "",
    }
    if not found["running"]:
        found["note"] = f"nothing runs here; start it with `homeostat up --data {settings.data}`"
        return found
    try:
        latest = latest_decisions(settings)
        found["models"] = {name: _model(settings, route, latest.get(name)) for name, route in routes(settings).items()}
    except Failure as failure:
        found["note"] = str(failure)
    return found


def _led(role: Role, settings: Settings) -> int:
    """How many partitions of `control` are this controller's."""
    return len(role.position(settings).get("control", {}))


def _model(settings: Settings, route: Route, latest: Decided | None) -> dict[str, Any]:
    serving = model_document(settings, route.model)
    return {
        "champion": route.champion,
        "candidate": route.candidate,
        "step": route.step,
        "share": route.share,
        "control": route.control,
        "generation": route.generation,
        "served_generation": None if serving is None else serving.get("generation"),
        "last_decision": None if latest is None else {"kind": latest.kind, "why": latest.why, "at": latest.at.isoformat()},
    }


def print_status(found: dict[str, Any]) -> None:
    """For people."""
    if found["note"]:
        people.print(found["note"], markup=False)
    if not found["running"]:
        return
    roles = Table(
        "role",
        "state",
        "leads",
        title=cell(f"Homeostat in {found['data']}, log at {found['bootstrap_servers']}"),
        title_justify="left",
    )
    for name, healthy in found["roles"].items():
        leads = f"{found['leads'][name]} of {PARTITIONS} partitions" if name in found["leads"] else ""
        roles.add_row(name, "[green]ready[/green]" if healthy else "[red]not ready[/red]", leads)
    people.print(roles)
    if not found["models"]:
        people.print("no model yet: register one with `homeostat register MODEL --data FILE --target COLUMN`", markup=False)
        return
    models = Table(
        "model", "champion", "candidate", "canary", "generation", "last decision", title="Models", title_justify="left"
    )
    for name, model in found["models"].items():
        models.add_row(
            cell(name), model["champion"][:12], model["candidate"][:12] or "-", _canary(model), _generation(model), _last(model)
        )
    people.print(models)


def _canary(model: dict[str, Any]) -> str:
    if not model["candidate"]:
        return "-"
    return f"{model['share']:.0%}" if model["step"] else "shadow"


def _generation(model: dict[str, Any]) -> str:
    served = model["served_generation"]
    if served == model["generation"]:
        return str(served)
    return f"{model['generation']} ([red]served: {served if served is not None else 'not at all'}[/red])"


def _last(model: dict[str, Any]) -> str:
    last = model["last_decision"]
    return "-" if last is None else cell(f"{last['kind']}: {last['why']}")
