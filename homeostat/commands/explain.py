"""`explain`: one decision with its evidence, back to its root, and what followed from it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import typer

from config.settings import Settings
from homeostat.commands.log import Place, control_records, decisions_by_model
from homeostat.commands.options import DEFAULT_HOME, LEAST_PREFIX, LOOK, Home, Json, connected
from homeostat.commands.output import MISUSED, Failure, answer, moment, number, say, short
from homeostat.commands.steering import decision_document
from homeostat.explanation import Explanation, Link, explain
from streams.events import UNIT, Control, Decided, Steering

WhichDecision = Annotated[
    str, typer.Argument(metavar="DECISION", help=f"Its id, or {LEAST_PREFIX} characters of its beginning.", show_default=False)
]

_HEADER: Final = {"id", "at", "model", "schema", "type", "actor", "reason", "signature"}
_IN_UNITS: Final = {"loss", "loss_squared", "difference", "difference_squared"}
_TOO_LONG: Final = {"policy", "arms", "state", "covers"}
"""Parts of records that say little to a person; a program gets them."""


def explain_decision(decision: WhichDecision, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show why a decision was made, back to its root, and what followed."""
    settings = connected(home)
    by_model = decisions_by_model(settings)
    chosen = _chosen(decision, by_model)
    records = _Records(settings)
    found = explain(chosen, by_model[chosen.model], records.of)
    if as_json:
        answer(_document(found))
    else:
        _tell(found)


def _chosen(begin: str, by_model: dict[str, list[Decided]]) -> Decided:
    every = [decision for found in by_model.values() for decision in found]
    # An id is one decision's in its log; of logs before a restore the mirror may know another, and the present one is meant.
    by_id = {decision.id: decision for decision in every}
    matching = [by_id[key] for key in by_id if key.startswith(begin)] if len(begin) >= LEAST_PREFIX else []
    if len(matching) == 1:
        return matching[0]
    if len(begin) < LEAST_PREFIX:
        raise Failure(f"{begin!r} is too short to name a decision; give {LEAST_PREFIX} characters or more.", MISUSED)
    if not matching:
        raise Failure(f"no decision begins with {begin!r}; `homeostat history MODEL --all` lists them with their ids.", MISUSED)
    listed = "; ".join(f"{one.id} ({one.model}, {one.kind}, {moment(one.at)})" for one in matching)
    raise Failure(f"{begin!r} names {len(matching)} decisions: {listed}.", MISUSED)


class _Records:
    """The records of `control` behind decisions, each read once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: dict[Place, Control | None] = {}

    def of(self, decision: Decided) -> Control | None:
        """The record that a decision was made on; None where it is no longer kept."""
        place = (decision.partition, decision.offset)
        if place not in self._read:
            self._read[place] = control_records(self._settings, [place]).get(place)
        record = self._read[place]
        return record if record is not None and getattr(record, "id", "") == decision.cause else None


def _document(found: Explanation) -> dict[str, Any]:
    return {
        "decision": decision_document(found.chain[0].decision),
        "chain": [
            {
                "decision": decision_document(link.decision),
                "decided_before_on_the_same_record": [decision_document(one) for one in link.together],
                "record": None if link.record is None else msgspec.to_builtins(link.record),
            }
            for link in found.chain
        ],
        "followed": [decision_document(one) for one in found.followed],
    }


def _tell(found: Explanation) -> None:
    depth = 0
    for link in found.chain:
        for one in (link.decision, *link.together):
            _tell_decision(one, depth)
            depth += 1
        _tell_record(link, depth)
        depth += 1
    say("followed by" if found.followed else f"nothing followed from it{'' if found.over else ' yet'}")
    for one in found.followed:
        say(f"  {moment(one.at)} {one.id[:8]} {one.kind}: {one.why}")


def _tell_decision(decision: Decided, depth: int) -> None:
    pad = "  " * depth
    word = "because of " if depth else ""
    say(f"{pad}{word}{decision.kind} {decision.id[:8]} at {moment(decision.at)}: {decision.why}")
    about = [f"release {decision.release[:12]}" if decision.release else "", f"run {decision.run[:8]}" if decision.run else ""]
    if any(about):
        say(f"{pad}  {', '.join(part for part in about if part)}")
    _tell_values(decision.numbers, pad)
    if decision.order is not None:
        order = decision.order
        say(f"{pad}  ordered: attempt {order.attempt}, labels up to {moment(order.as_of)}, seed {order.seed}")


def _tell_record(link: Link, depth: int) -> None:
    pad, record = "  " * depth, link.record
    if record is None:
        say(f"{pad}on a record that is no longer kept (control-{link.decision.partition}, offset {link.decision.offset})")
        return
    if not isinstance(record, Steering):
        say(f"{pad}on {type(record).__name__}")
        return
    place = f"control-{link.decision.partition}, offset {link.decision.offset}"
    said = f": {record.reason}" if record.reason else ""
    say(f"{pad}on {type(record).__name__} by {record.actor}, dated {moment(record.at)}{said} ({place})")
    _tell_values(_values(record), pad)


def _values(record: Steering) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name in _HEADER | _TOO_LONG or value in ("", {}, (), None):
            continue
        if isinstance(value, msgspec.Struct):
            values |= {f"{name}.{inner}": item for inner, item in msgspec.structs.asdict(value).items() if item is not None}
        elif isinstance(value, dict):
            values |= value
        else:
            values[name] = value / UNIT if name in _IN_UNITS else value
    return values


def _tell_values(values: dict[str, Any], pad: str) -> None:
    if values:
        say(f"{pad}  {', '.join(f'{name} {_shown(value)}' for name, value in values.items())}")


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, int) and not isinstance(value, bool) else short(value)


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command("explain", rich_help_panel=LOOK)(explain_decision)
