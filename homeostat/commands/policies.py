"""`policy show` and `policy set`; and what `up` does with the files in `policies/`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from config.settings import Settings
from homeostat.commands.log import control_records, decisions, decisions_by_model, route_of
from homeostat.commands.options import DEFAULT_HOME, STEER, WAIT_S, Home, Json, Model, Wait, connected
from homeostat.commands.output import Failure, answer, people, say
from homeostat.commands.steering import ask, conclude, done, signed, undecided
from homeostat.model_view import model_view
from homeostat.policy_directory import InForce, keep_policy, policy_path, to_be_set
from homeostat.policy_file import load_policy, policy_toml
from streams.events import Decided, ModelRegistered, PolicySet, Restored
from streams.policy import Policy

DECIDED_S: Final = 10.0

PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="TOML; defaults where it is silent.", show_default=False)]
Why = Annotated[str, typer.Option("--reason", help="Why; it stands in the record.")]


def show(model: Model, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Print the policy in force as TOML."""
    settings = connected(home)
    route_of(settings, model)
    present = in_force(settings, {model: decisions(settings, model)}).get(model)
    if present is None:
        raise Failure(
            f"the record that holds the policy of {model} is no longer kept; `homeostat policy set {model} FILE` sets one."
        )
    if as_json:
        answer({"model": model, "decision": present.decision, "policy": msgspec.to_builtins(present.policy)})
    else:
        people.print(policy_toml(present.policy), markup=False, end="")


def put(
    model: Model, file: PolicyFile, reason: Why = "by hand", wait: Wait = WAIT_S, home: Home = DEFAULT_HOME, as_json: Json = False
) -> None:
    """Set a policy from a file, and keep the file in policies/."""
    policy = load_policy(file)
    settings = connected(home)
    route_of(settings, model)
    before = keep_policy(settings.policies, model, file.read_bytes())
    (answered,) = ask(settings, [PolicySet(**signed(model, reason), policy=policy)], wait)
    if answered.decisions and not done(answered, {"PolicyChanged"}):
        keep_policy(settings.policies, model, before)  # or the next start would set what was refused
    conclude(settings, answered, {"PolicyChanged"}, f"the policy of {model}", as_json=as_json)


def in_force(settings: Settings, by_model: Mapping[str, list[Decided]]) -> dict[str, InForce]:
    """The policies that hold, of the models whose record of it is kept."""
    deciding = {model: view.policy for model, found in by_model.items() if (view := model_view(found)).policy is not None}
    records = control_records(settings, {(one.partition, one.offset) for one in deciding.values() if one is not None})
    found: dict[str, InForce] = {}
    for model, decision in deciding.items():
        assert decision is not None  # left out above
        record = records.get((decision.partition, decision.offset))
        if record is not None and record.id == decision.cause:
            policy = _policy_in(record)
            if policy is not None:
                found[model] = InForce(policy=policy, decision=decision.id)
    return found


def _policy_in(record: msgspec.Struct) -> Policy | None:
    match record:
        case ModelRegistered() | PolicySet():
            return record.policy
        case Restored():
            from homeostat.model_state import ModelState

            return msgspec.msgpack.decode(record.state, type=ModelState).policy
        case _:
            return None


def apply_files(settings: Settings, wanted: Mapping[str, Policy], *, as_json: bool) -> None:
    """Put the policies that were read from files in force, once the controller decides; what cannot be is said, and stops nothing."""
    if not wanted:
        return
    by_model = decisions_by_model(settings)
    registered = {model: found for model, found in by_model.items() if model_view(found).served}
    for model in sorted(wanted.keys() - registered.keys()):
        say(
            f"{policy_path(settings.policies, model)}: no model {model!r} is registered; registered are: "
            f"{', '.join(sorted(registered)) or 'none'}. The file does nothing until there is one.",
            as_json=as_json,
        )
    records = to_be_set(wanted, in_force(settings, registered), datetime.now(UTC))
    if not records:
        return
    for answered in ask(settings, records, DECIDED_S):
        if answered.decisions:
            say(f"{answered.record.model}: {answered.why()}", as_json=as_json)
        else:
            say(undecided(settings, f"the policy of {answered.record.model} is written"), as_json=as_json)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(name="policy", help="Show or set the policy of a model.", no_args_is_help=True)
    group.command("show")(show)
    group.command("set")(put)
    app.add_typer(group, rich_help_panel=STEER)
