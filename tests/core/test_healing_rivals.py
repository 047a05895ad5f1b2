"""Rivals: each alarm fires on its kind of change, and on nothing where nothing changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.healing.replay import replay
from benchmarks.healing.rivals import ALARMS, SCHEDULES
from benchmarks.healing.stream import Stream
from tests.core.healing_tables import PERIOD_ROWS, constant_world, table_of, turning_world

PERIODS, TURN = 40, 20
READ_LOSSES = sorted(set(ALARMS) - {"ks_any", "ks_half"})
READ_FEATURES = ("ks_any", "ks_half")


def with_features(stream: Stream, shift: float) -> Stream:
    """Its features drawn anew; moved by `shift` from the turn on."""
    features = np.random.default_rng(0).normal(size=(len(stream.target), 1))
    features[stream.begin(TURN) :] += shift
    return replace(stream, features=features.astype(np.float32))


@pytest.mark.parametrize("name", READ_LOSSES)
def test_an_alarm_on_losses_fires_soon_after_an_abrupt_change(name: str) -> None:
    table = table_of(turning_world(periods=PERIODS, turn=TURN))
    trainings = replay(table, ALARMS[name](table.stream), 0.0).trainings
    assert trainings
    assert TURN < trainings[0] <= TURN + 4


@pytest.mark.parametrize("name", READ_LOSSES)
def test_an_alarm_on_losses_is_silent_where_they_do_not_change(name: str) -> None:
    table = table_of(constant_world(periods=PERIODS))
    assert replay(table, ALARMS[name](table.stream), 0.0).trainings == ()


@pytest.mark.parametrize("name", READ_FEATURES)
def test_an_alarm_on_features_fires_when_they_move(name: str) -> None:
    table = table_of(with_features(constant_world(periods=PERIODS), shift=3.0))
    trainings = replay(table, ALARMS[name](table.stream), 0.0).trainings
    assert [period for period in trainings if TURN < period <= TURN + 4]


@pytest.mark.parametrize("name", READ_FEATURES)
def test_an_alarm_on_features_does_not_see_the_concept_turn(name: str) -> None:
    """The control: losses change, features do not. At the level .01 a false alarm in 40 periods may be; a row of them may not."""
    table = table_of(with_features(turning_world(periods=PERIODS, turn=TURN), shift=0.0))
    assert len(replay(table, ALARMS[name](table.stream), 0.0).trainings) <= 2


def test_a_schedule_trains_by_the_clock() -> None:
    table = table_of(constant_world(periods=10))
    assert replay(table, SCHEDULES["every_3"](table.stream), 0.0).trainings == (3, 6, 9)
    assert replay(table, SCHEDULES["never"](table.stream), 0.0).trainings == ()


def test_an_alarm_starts_anew_with_each_champion() -> None:
    """After the training that a turn buys, the new champion is as good as the old one was: no second alarm."""
    table = table_of(turning_world(periods=PERIODS, turn=TURN))
    # A model of the turned world needs a window of it; the first one bought may be of the old one still.
    trainings = replay(table, ALARMS["adwin_0.002"](table.stream), 0.0).trainings
    assert len(trainings) <= 2
    assert max(trainings) < TURN + 2 * PERIOD_ROWS // 4
