"""What a training is worth, in words that hold for any figure."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from drift.noise_replay import NoiseReplay
from homeostat.worth_replay import Replayed
from homeostat.worth_told import advice, facts
from homeostat.worth_view import Borne, Usual, Worth, price_of, worth
from streams.policy import StalenessPolicy
from tests.core.control_log import (
    PERIOD,
    ControlLog,
    evidence,
    losses,
    registered,
)
from tests.core.test_worth_view import OWN, healed, worth_told

NOISE = NoiseReplay(
    per_1000_periods=40.0, least=20.0, most=60.0, shuffles=20, periods=200, rows=2_000, rows_a_period=100, block_rows=25
)
REPLAYED = Replayed(source="losses", noise=NOISE, trade=(), filled_ratio=1.0)


@pytest.mark.parametrize(
    ("cost", "error_value", "errors", "money", "line"),
    [
        ("200 errors", 0.0, 200.0, None, "200 errors"),
        ("200 errors", 0.5, 200.0, 100.0, "200 errors, 100 (in the money of error_value)"),
        ("3.50 EUR", 0.05, 70.0, 3.5, "70 errors, 3.5 EUR (written: 3.50 EUR)"),
        ("inf errors", 0.0, math.inf, None, "beyond any: nothing is ever bought (written: inf errors)"),
        ("0 errors", 0.0, 0.0, None, "none: whatever is surely better is bought (written: 0 errors)"),
    ],
)
def test_the_price_in_errors_and_money(cost: str, error_value: float, errors: float, money: float | None, line: str) -> None:
    policy = StalenessPolicy(retrain_cost=cost, error_value=error_value)
    price = price_of(policy)
    assert (price.errors, price.money) == (errors, money)
    told = Worth(price=price, period=PERIOD, usual=None, trainings=None, borne=None, won=None)
    assert dict(facts(told, policy, None, None, {}))["price"] == line


def test_the_advice_says_how_long_it_takes_and_whether_noise_buys_too_much() -> None:
    log = ControlLog()
    log.tell(registered(policy=OWN))
    for period in range(1, 60):
        log.tell(losses(period, 20))
    told = worth_told(log)
    said = advice(told, OWN.staleness, None)
    assert said == (
        "A training must win 40 errors; at 20 errors a period, stale by 10.0% (for example: none is seen now), that is 20 periods, "
        "or 20 hours."
    )
    assert "more than the 1 allowed" in advice(told, OWN.staleness, REPLAYED)
    allowed = msgspec.structs.replace(OWN.staleness, noise_trainings=30.0)
    assert advice(told, allowed, REPLAYED) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"trigger": "drift"}, "its trigger is drift"),
        ({"retrain_cost": "inf errors"}, "nothing is ever bought"),
        ({"retrain_cost": "0 errors"}, "costs nothing here"),
    ],
)
def test_the_advice_under_policies_where_no_price_is_weighed(changed: dict[str, str], said: str) -> None:
    policy = msgspec.structs.replace(OWN.staleness, **changed)
    told = worth(healed().decisions, policy)
    assert said in advice(told, policy, REPLAYED)


def test_a_gain_that_is_not_proved_is_said_to_be_none_perhaps() -> None:
    log = healed()
    log.tell(evidence(log.routes[-1], 100, better=4, worse=5, arm="control"))
    line = dict(facts(worth_told(log), OWN.staleness, None, None, {}))["the last one won"]
    assert "as if rows were independent, so that it may as well be nothing)" in line


def at_price(cost: str) -> tuple[Worth, StalenessPolicy]:
    policy = StalenessPolicy(retrain_cost=cost)
    usual = Usual(periods=30, rows=50.0, errors=5.0, excess=0.0, excess_sd=0.01)
    price = price_of(policy)
    return Worth(price=price, period=timedelta(days=1), usual=usual, trainings=None, borne=None, won=None), policy


def test_a_price_that_no_time_pays_back_is_said_in_words() -> None:
    """However large. Control: one that takes some years is told in years."""
    for cost in ("1000000000 errors", "9" * 300 + " errors"):
        assert "practically never (" in advice(*at_price(cost), None)
    assert advice(*at_price("1000 errors"), None).endswith("that is 2,000 periods, or 5.48 years.")


def test_what_let_a_release_in_is_counted_by_its_kind() -> None:
    """Trainings, challengers and recalls are three figures; a challenger is no training."""
    log = healed()
    last = log.decisions[-1]
    more = [msgspec.structs.replace(last, kind=kind, numbers={}) for kind in ("ChallengerWanted", "ChallengerFrozen", "Recalled")]
    told = worth([*log.decisions, *more, more[0]], OWN.staleness).trainings
    assert told is not None
    assert (told.bought, told.run, told.wanted, told.challengers, told.called_back) == (1, 1, 2, 1, 1)
    lines = dict(facts(replace(worth_told(log), trainings=told), OWN.staleness, None, None, {}))
    assert lines["challengers"] == "1 let in, 2 were bought by the rule"
    assert lines["called back"] == "1 earlier release, instead of a training"
    none = dict(facts(worth_told(log), OWN.staleness, None, None, {}))
    assert none["challengers"] == "none was let in, none was bought by the rule"


def test_a_regret_of_nothing_is_said_in_words() -> None:
    told, policy = at_price("40 errors")
    known = {"regret_bound_periods": 30.0, "regret_bound_releases": 2.0}
    lines = [
        dict(facts(told, policy, None, {**known, "regret_bound_errors": errors}, {}))["regret, a bound"] for errors in (0.0, 12.0)
    ]
    assert lines[0] == "no earlier release (2 looked at) would have lost less in the 30 periods before the last training"
    assert lines[1].startswith("at least 12 errors by not calling back the best release (2 looked at), in 30 periods")


def test_time_goes_by_in_periods_without_labels() -> None:
    """One period in three has some: a training pays for itself in three times the time, as many periods."""
    log = ControlLog()
    log.tell(registered(policy=OWN))
    for period in range(1, 178, 3):
        log.tell(losses(period, 20))
    told = worth_told(log)
    assert told.usual is not None
    assert told.usual.apart == pytest.approx(88 / 30)
    assert advice(told, OWN.staleness, None).endswith("that is 20 periods, or 2.44 days.")


def test_a_champion_better_than_a_fresh_one_is_not_called_stale_by_less_than_nothing() -> None:
    """Control: one that is worse is."""
    told, policy = at_price("40 errors")
    assert told.usual is not None
    for excess, said in ((-0.01, "not stale now: a fresh champion would make 0.5 more"), (0.01, "stale by 0.5 errors a period")):
        seen = replace(told, usual=replace(told.usual, excess=excess))
        assert said in dict(facts(seen, policy, None, None, {}))["a usual period"]
    borne = Borne(champion_errors=-3.0, champion_periods=5, registration_errors=2.0, registration_periods=9)
    assert (
        "below 0: better than a fresh one" in dict(facts(replace(told, borne=borne), policy, None, None, {}))["staleness so far"]
    )
