"""What a training is worth in words: figures in, lines and one sentence of advice out. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from homeostat.commands.output import moment, number
from homeostat.won_view import Won
from homeostat.worth_numbers import YEAR, rounded, span
from homeostat.worth_replay import Replayed
from homeostat.worth_view import MONTH, Borne, Price, Trainings, Usual, Worth
from streams.policy import StalenessPolicy

_ORIGIN: Final = {
    "training": "trained",
    "recall": "called back",
    "challenger": "the frozen challenger",
    "person": "offered by a person",
}
_LABELS: Final = {
    "usual": "a usual period",
    "trainings": "trainings",
    "challengers": "challengers",
    "called_back": "called back",
    "trainings_ahead": "trainings ahead",
    "borne": "staleness so far",
    "won": "the last one won",
    "regret_bound": "regret, a bound",
    "noise": "noise would buy",
}
PRACTICALLY_NEVER: Final = 100.0
"""Years."""
AS_AN_EXAMPLE: Final = 0.1
"""Staleness that the advice reckons with where none is seen now, as a share of the errors."""


def facts(
    told: Worth,
    policy: StalenessPolicy,
    replayed: Replayed | None,
    regret: Mapping[str, float] | None,
    missing: Mapping[str, str],
) -> list[tuple[str, str]]:
    """A line for each figure; for one that is missing, why."""
    lines = {"price": _price(told.price)}
    if usual := told.usual:
        lines["usual"] = (
            f"{rounded(usual.errors)} errors on {rounded(usual.rows)} labelled rows in {span(told.period.total_seconds())} "
            f"(mean of {usual.periods}); "
            f"{_stale(usual)} (sd {rounded(usual.excess_sd * usual.rows)})"
        )
    if trainings := told.trainings:
        lines["trainings"] = (
            f"{trainings.run} run, {trainings.bought} bought by the rule, from {moment(trainings.since)} to "
            f"{moment(trainings.until)}: {rounded(trainings.bought_a_month)} bought a month"
        )
        lines["challengers"] = _challengers(trainings)
        lines["called_back"] = _called_back(trainings.called_back)
        if trainings.ahead_a_month is not None:
            lines["trainings_ahead"] = f"{rounded(trainings.ahead_a_month)} a month, if staleness goes on growing as it has"
    if borne := told.borne:
        lines["borne"] = (
            f"{rounded(borne.champion_errors)} errors in the {borne.champion_periods:,} periods of this champion, "
            f"{rounded(borne.registration_errors)} in all {borne.registration_periods:,}, as the rule estimates them"
            f"{_below_nothing(borne)}"
        )
    if won := told.won:
        lines["won"] = (
            f"{rounded(1_000 * won.gain)} errors in 1,000 rows ({rounded(1_000 * won.low)} to {rounded(1_000 * won.high)}, as if rows were "
            f"independent{_proved(won)}), by its control on {won.rows:,} rows; on all {rounded(won.rows_since)} rows since, at that rate, "
            f"{rounded(won.errors)} errors ({_ORIGIN[won.origin]}, {won.release[:12]})"
        )
    if regret is not None:
        lines["regret_bound"] = _regret(regret)
    if replayed is not None:
        noise = replayed.noise
        lines["noise"] = (
            f"{rounded(noise.per_1000_periods)} trainings in 1,000 periods ({rounded(noise.least)} to {rounded(noise.most)} by shuffle; "
            f"{number(policy.noise_trainings)} are allowed), {rounded(_noise_a_month(replayed, told))} a month: {replayed.source}, "
            f"{noise.rows:,} rows, {noise.rows_a_period:,} a period{_gaps(replayed)}"
        )
    known = [("price", lines["price"])]
    for name, label in _LABELS.items():
        if name in lines:
            known.append((label, lines[name]))
        elif name in missing:
            known.append((label, f"not known: {missing[name]}"))
    return known


def advice(told: Worth, policy: StalenessPolicy, replayed: Replayed | None) -> str:
    """What the price asks of a training, and what to change if noise buys too much."""
    price = told.price.errors
    if policy.trigger != "staleness":
        return f"Staleness buys nothing under this policy: its trigger is {policy.trigger}."
    if not math.isfinite(price):
        return "At an infinite price nothing is ever bought."
    if price == 0.0:
        return "A training costs nothing here: whatever is surely better is bought."
    must = f"A training must win {rounded(price)} errors"
    usual = told.usual
    if usual is None or not usual.errors:
        return f"{must}; how long that takes is known once periods with errors are measured."
    return f"{must}; {_pays(told, usual, price)}{_too_much(policy, replayed)}"


def _pays(told: Worth, usual: Usual, price: float) -> str:
    stale = usual.stale_ratio if usual.excess > usual.excess_sd else AS_AN_EXAMPLE
    said = "as it is now" if usual.excess > usual.excess_sd else "for example: none is seen now"
    periods = price / (stale * usual.errors)
    seconds = told.period.total_seconds() * usual.apart * periods
    time = span(seconds) if seconds < PRACTICALLY_NEVER * YEAR else f"practically never ({span(seconds)})"
    return f"at {rounded(usual.errors)} errors a period, stale by {stale:.1%} ({said}), that is {rounded(periods)} periods, or {time}."


def _too_much(policy: StalenessPolicy, replayed: Replayed | None) -> str:
    if replayed is None or replayed.noise.least <= policy.noise_trainings:
        return ""
    noise = replayed.noise
    return (
        f" Noise buys {rounded(noise.per_1000_periods)} in 1,000 periods, more than the {number(policy.noise_trainings)} allowed, so that "
        f"these rows hang together more than the rule believes: lower noise_trainings, or raise retrain_cost."
    )


def _noise_a_month(replayed: Replayed, told: Worth) -> float:
    return replayed.noise.per_1000_periods / 1_000.0 * replayed.filled_ratio * (MONTH / told.period)


def _gaps(replayed: Replayed) -> str:
    return (
        ""
        if replayed.filled_ratio == 1.0
        else f"; {1.0 - replayed.filled_ratio:.1%} of the periods have no row, and count for none"
    )


def _stale(usual: Usual) -> str:
    errors = rounded(abs(usual.excess) * usual.rows)
    if usual.excess <= 0.0:
        return f"not stale now: a fresh champion would make {errors} more, by estimate"
    return f"stale by {errors} errors a period, {usual.stale_ratio:.1%} of them"


def _below_nothing(borne: Borne) -> str:
    return (
        "; below 0: better than a fresh one would have been"
        if min(borne.champion_errors, borne.registration_errors) < 0.0
        else ""
    )


def _challengers(trainings: Trainings) -> str:
    """A training that was bought may have ended in one, too, so that the two counts need not agree."""
    wanted = {0: "none was bought by the rule", 1: "1 was bought by the rule"}.get(
        trainings.wanted, f"{trainings.wanted} were bought by the rule"
    )
    return f"{trainings.challengers or 'none was'} let in, {wanted}"


def _called_back(count: int) -> str:
    return "no earlier release" if not count else f"{count} earlier release{'' if count == 1 else 's'}, instead of a training"


def _regret(regret: Mapping[str, float]) -> str:
    periods = f"{rounded(regret.get('regret_bound_periods', 0.0))} periods before the last training"
    looked = f" ({rounded(regret['regret_bound_releases'])} looked at)" if "regret_bound_releases" in regret else ""
    if regret["regret_bound_errors"] <= 0.0:
        return f"no earlier release{looked} would have lost less in the {periods}"
    return f"at least {rounded(regret['regret_bound_errors'])} errors by not calling back the best release{looked}, in {periods}"


def _proved(won: Won) -> str:
    return "" if won.low > 0.0 or won.high < 0.0 else ", so that it may as well be nothing"


def _price(price: Price) -> str:
    if not math.isfinite(price.errors):
        return f"beyond any: nothing is ever bought (written: {price.written})"
    if price.errors == 0.0:
        return f"none: whatever is surely better is bought (written: {price.written})"
    unit = f" {price.currency}" if price.currency else ""
    money = f", {number(price.money)}{unit or ' (in the money of error_value)'}" if price.money is not None else ""
    as_written = "" if price.written == f"{number(price.errors)} errors" else f" (written: {price.written})"
    return f"{rounded(price.errors)} errors{money}{as_written}"
