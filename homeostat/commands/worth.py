"""`worth`: what the present price of a training means, what trainings cost and won so far, and what noise would buy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import typer

from config.settings import Settings
from drift.noise_replay import NoiseReplay, Traded
from homeostat.commands.log import control_records, decisions, route_of
from homeostat.commands.options import DEFAULT_HOME, LOOK, Home, Json, Model, connected
from homeostat.commands.output import Failure, answer, cell, number, people, say, table
from homeostat.commands.policies import in_force
from homeostat.timed_losses import NoRows
from homeostat.won_view import bake_of
from homeostat.worth_numbers import rounded
from homeostat.worth_replay import Replayed, replayed
from homeostat.worth_told import advice, facts
from homeostat.worth_view import Worth
from homeostat.worth_view import worth as worth_of
from streams.adapters.store import DirectoryStore
from streams.events import Decided, TrainingFinished
from streams.policy import Policy
from streams.release import BlobCorrupt, BlobMissing
from trainer.runcard import RunCard

REGRET: Final = "regret_bound_errors"
_SETS_POLICY: Final = frozenset({"Registered", "PolicyChanged", "Restored"})


def worth(model: Model, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show what a training must win, what trainings won, and what noise buys."""
    settings = connected(home)
    route = route_of(settings, model)
    found = decisions(settings, model)
    policy, same_from = _policies(settings, model, found)
    _, bake = bake_of(found)
    records = control_records(settings, {(one.partition, one.offset) for one in bake})
    told = worth_of(found, policy.staleness, same_period_from=same_from, bake=records.values())
    regret, why_no_regret = _regret(settings, found)
    replay, why_no_replay = _replayed(settings, model, route.champion, policy)
    missing = dict(told.missing)
    if why_no_regret:
        missing["regret_bound"] = why_no_regret
    if why_no_replay:
        missing["noise"] = why_no_replay
    sentence = advice(told, policy.staleness, replay)
    if as_json:
        answer(
            {
                "model": model,
                **_plain(told),
                "period_s": told.period.total_seconds(),
                "missing": missing,
                "regret_bound": regret,
                "noise": replay and {**_plain(replay.noise), "source": replay.source, "filled_ratio": replay.filled_ratio},
                "trade": [_plain(one) for one in replay.trade] if replay else [],
                "advice": sentence,
            }
        )
        return
    shown = table(f"What a training of {model} is worth", "what", "figure")
    for name, text in facts(told, policy.staleness, replay, regret, missing):
        shown.add_row(name, cell(text))
    people.print(shown)
    if replay is not None:
        _tell_trade(replay.trade, told, now=policy.staleness.noise_trainings)
    say(sentence)


def _plain(value: Worth | NoiseReplay | Traded) -> dict[str, Any]:
    # Infinity is no JSON: a price at which nothing is ever bought becomes null.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    plain.pop("period", None)
    return plain


def _policies(settings: Settings, model: str, found: list[Decided]) -> tuple[Policy, int]:
    """The policy in force, and the place of the first decision since which periods are as long as in it."""
    setting = [place for place, one in enumerate(found) if one.kind in _SETS_POLICY]
    # Of each beginning of the history the policy that held at its end: all their records are read at once.
    held = in_force(settings, {str(place): found[: place + 1] for place in setting})
    if not setting or str(setting[-1]) not in held:
        raise Failure(
            f"the record that holds the policy of {model} is no longer kept; `homeostat policy set {model} FILE` sets one."
        )
    policy, since = held[str(setting[-1])].policy, setting[-1]
    for place in reversed(setting):
        before = held.get(str(place))
        if before is None or before.policy.staleness.period != policy.staleness.period:
            break
        since = place
    return policy, since


def _regret(settings: Settings, found: list[Decided]) -> tuple[dict[str, float] | None, str]:
    """What the run card of the last training says of the champion before it."""
    ended = next((one for one in reversed(found) if one.kind == "TrainingEnded"), None)
    if ended is None:
        return None, "no training has ended yet"
    record = control_records(settings, {(ended.partition, ended.offset)}).get((ended.partition, ended.offset))
    if not isinstance(record, TrainingFinished) or record.run != ended.run:
        return None, "the last training ended without a run card, or its record is no longer kept"
    try:
        card = msgspec.json.decode(DirectoryStore(settings.store).get(record.card), type=RunCard)
    except (BlobMissing, BlobCorrupt, msgspec.DecodeError) as error:
        return None, f"the run card of the last training cannot be read: {error}"
    found_on_it = {name: value for name, value in card.metrics.items() if name.startswith("regret_bound")}
    if REGRET not in found_on_it:
        return None, "the last training had no live rows that the champion before it was not trained on"
    return found_on_it, ""


def _replayed(settings: Settings, model: str, champion: str, policy: Policy) -> tuple[Replayed | None, str]:
    from homeostat.worth_rows import timed_losses  # the lake's reader takes long to import

    try:
        return replayed(timed_losses(settings, model, champion, policy), policy.staleness), ""
    except (NoRows, BlobMissing, BlobCorrupt) as why:
        return None, str(why)


def _tell_trade(traded: Sequence[Traded], told: Worth, *, now: float) -> None:
    shown = table(
        "Both sides of noise_trainings", "setting", "noise buys", "and costs", "changes seen", "after", "staleness borne"
    )
    for one in traded:
        seen = one.in_order
        shown.add_row(
            f"{number(one.noise_trainings)}{' (now)' if one.noise_trainings == now else ''}",
            rounded(one.noise.per_1000_periods),
            f"{rounded(cost)} errors" if (cost := _cost(one, told)) else "nothing",
            f"{seen.bought} of {seen.champions}",
            "-" if seen.waited_periods is None else f"{rounded(seen.waited_periods)} periods",
            f"{rounded(seen.borne_errors)} errors",
        )
    people.print(shown)
    say(
        "noise: in 1,000 periods of shuffled rows. changes: champions under which a training would have been bought on the rows in "
        "order; each is followed to the first only, since what a training would have changed cannot be replayed"
    )


def _cost(one: Traded, told: Worth) -> float:
    return one.noise.per_1000_periods * told.price.errors if one.noise.per_1000_periods else 0.0


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=LOOK)(worth)
