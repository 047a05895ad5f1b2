"""What trainings cost and won, on stories of a model of which that is known."""

from __future__ import annotations

import math
from datetime import timedelta

import msgspec
import pytest

from homeostat.won_view import bake_of
from homeostat.worth_told import advice, facts
from homeostat.worth_view import Worth, worth
from streams.codec import decode_control
from streams.events import Control, PolicySet
from streams.policy import ChallengerPolicy, Policy
from tests.core.control_log import (
    EVENT_T0,
    PERIOD,
    POLICY,
    ROWS,
    ControlLog,
    evidence,
    finished,
    losses,
    promote,
    registered,
    stale_until_bought,
)

OWN = msgspec.structs.replace(POLICY, challenger=ChallengerPolicy(enabled=False))
"""The champion's own losses are measured, at once."""


def healed(policy: Policy = OWN) -> ControlLog:
    """Thirty good periods, some bad ones, a training, its release at the top."""
    log = ControlLog()
    log.tell(registered(policy=policy))
    run = stale_until_bought(log, 1)
    log.tell(finished(run))
    promote(log)
    return log


def records_of_bake(log: ControlLog) -> list[Control]:
    return [decode_control(log.messages[one.offset].value) for one in bake_of(log.decisions)[1]]


def worth_told(log: ControlLog, policy: Policy = OWN, since: int = 0) -> Worth:
    return worth(log.decisions, policy.staleness, same_period_from=since, bake=records_of_bake(log))


def test_nothing_is_told_of_a_model_that_has_just_been_registered() -> None:
    """Each missing figure is said, and none is made up."""
    log = ControlLog()
    log.tell(registered(policy=OWN))
    told = worth_told(log)
    assert (told.usual, told.trainings, told.borne, told.won) == (None, None, None, None)
    assert set(told.missing) == {"usual", "trainings", "borne", "won"}
    assert told.missing["won"] == "no release has taken over since the registration"
    assert "known once periods with errors are measured" in advice(told, OWN.staleness, None)
    lines = dict(facts(told, OWN.staleness, None, None, {**told.missing, "noise": "no rows"}))
    assert lines["price"] == "40 errors"
    assert lines["noise would buy"] == "not known: no rows"
    assert lines["trainings"].startswith("not known: fewer than two periods")


def test_a_usual_period_is_the_mean_of_the_newest() -> None:
    log = ControlLog()
    log.tell(registered(policy=OWN))
    for period in range(1, 41):
        log.tell(losses(period, 90 if period <= 10 else 20))
    usual = worth_told(log).usual
    assert usual is not None
    assert (usual.periods, usual.rows, usual.errors) == (30, ROWS, 20.0)


def test_a_training_that_was_bought_is_counted_in_event_time() -> None:
    """Months of the events, however fast they were sent."""
    log = healed()
    told = worth_told(log).trainings
    assert told is not None
    assert (told.bought, told.run, told.called_back) == (1, 1, 0)
    periods = [one.numbers["period"] for one in log.decisions if one.kind == "StalenessMeasured"]
    assert told.until - told.since == PERIOD * len(periods)
    assert told.bought_a_month == pytest.approx(timedelta(days=30) / (PERIOD * len(periods)))


def test_where_nothing_changes_nothing_is_bought_or_foreseen() -> None:
    """The control: the same losses in every period."""
    log = ControlLog()
    log.tell(registered(policy=OWN))
    for period in range(1, 60):
        log.tell(losses(period, 20))
    told = worth_told(log)
    assert told.trainings is not None
    assert (told.trainings.bought, told.trainings.ahead_a_month) == (0, None)
    assert "trainings_ahead" in told.missing
    assert told.borne is not None
    assert abs(told.borne.champion_errors) < 0.01 * 59 * 20
    assert "for example: none is seen now" in advice(told, OWN.staleness, None)


def test_staleness_borne_starts_anew_with_the_champion_and_adds_up_since_the_registration() -> None:
    log = healed()
    of_first = [one.numbers["lost_errors"] for one in log.decisions if one.kind == "StalenessMeasured"][-1]
    assert of_first > 0.0
    last = int([one.numbers["period"] for one in log.decisions if one.kind == "StalenessMeasured"][-1])
    for period in range(last + 1, last + 4):
        log.tell(losses(period, 20, release="second"))
    borne = worth_told(log).borne
    assert borne is not None
    assert borne.champion_periods == 3
    assert borne.registration_periods == last + 3
    assert borne.registration_errors == pytest.approx(of_first + borne.champion_errors)


def test_a_run_that_came_to_nothing_begins_another_sum() -> None:
    """The price was sunk, the account starts again; what was borne stays borne."""
    log = ControlLog()
    log.tell(registered(policy=OWN))
    run = stale_until_bought(log, 1)
    numbers = [one.numbers for one in log.decisions if one.kind == "StalenessMeasured"][-1]
    log.tell(finished(run, passed=False))
    log.tell(losses(int(numbers["period"]) + 1, 40))
    borne = worth_told(log).borne
    assert borne is not None
    assert borne.registration_errors == borne.champion_errors > numbers["lost_errors"]


def test_the_control_says_what_the_training_won() -> None:
    """It loses 8 of 100 rows more than the release that took over: 80 errors in 1,000 rows, and so on all rows since."""
    log = healed()
    log.tell(evidence(log.routes[-1], 60, better=2, worse=4, arm="control"))
    log.tell(evidence(log.routes[-1], 100, better=2, worse=10, arm="control"))
    period = int([one.numbers["period"] for one in log.decisions if one.kind == "StalenessMeasured"][-1])
    for number in (1, 2):
        log.tell(losses(period + number, 20, release="second"))
    told = worth_told(log)
    won = told.won
    assert won is not None
    assert (won.release, won.control, won.origin, won.rows) == ("second", "first", "training", 100)
    assert won.gain == 0.08
    assert won.low < 0.08 < won.high
    assert won.high - won.low == pytest.approx(2 * 1.96 * math.sqrt((0.12 - 0.08**2) / 100))
    assert (won.rows_since, won.errors) == (2 * ROWS, pytest.approx(16.0))
    line = dict(facts(told, OWN.staleness, None, None, {}))["the last one won"]
    assert line.startswith("80 errors in 1,000 rows (13.9 to 146, as if rows were independent)")
    assert "may as well be nothing" not in line


def test_a_control_that_was_not_counted_says_nothing() -> None:
    told = worth_told(healed())
    assert told.won is None
    assert "no labelled row is counted yet" in told.missing["won"]


def test_evidence_on_another_arm_is_no_control() -> None:
    """The candidate's in shadow speaks of the release before."""
    log = healed()
    shadow = [decode_control(message.value) for message in log.messages]
    assert worth(log.decisions, OWN.staleness, bake=shadow).won is None


def test_periods_of_another_length_count_for_what_was_borne_alone() -> None:
    """Their numbers mean other times."""
    log = healed()
    longer = msgspec.structs.replace(OWN, staleness=msgspec.structs.replace(OWN.staleness, period=2 * PERIOD))
    log.tell(PolicySet(id="p", at=EVENT_T0, model="m", actor="ada", reason="longer", policy=longer))
    told = worth_told(log, longer, since=len(log.decisions) - 1)
    assert told.trainings is None
    assert told.usual is None
    assert told.borne is not None
    assert told.borne.registration_errors > 0.0


def test_the_release_that_took_over_is_told_by_the_way_it_came() -> None:
    """Of its run: frozen, called back, or trained."""
    log = healed()
    log.tell(evidence(log.routes[-1], 100, better=2, worse=10, arm="control"))
    run = next(one.run for one in log.decisions if one.kind == "Promoted")
    bake = records_of_bake(log)
    for kind, origin in (("ChallengerFrozen", "challenger"), ("Recalled", "recall"), ("TrainingEnded", "training")):
        of_kind = [
            msgspec.structs.replace(one, kind=kind) if one.run == run and one.kind == "TrainingEnded" else one
            for one in log.decisions
        ]
        won = worth(of_kind, OWN.staleness, bake=bake).won
        assert won is not None
        assert won.origin == origin
