"""Replays of retraining policies over small tables: what a policy may see, and what its choices cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.healing.action import Action
from benchmarks.healing.on_demand import FittedOnDemand
from benchmarks.healing.ours import ours
from benchmarks.healing.replay import LookAhead, Past, replay
from benchmarks.healing.schedules import Every, Never
from tests.core.healing_tables import constant_world, last_labels, majority_fit, table_of, turning_world


class Scripted:
    """Does what it is told at each period's end, and looks where it is told."""

    def __init__(self, actions: dict[int, Action], look: Callable[[Past], object] = lambda past: None) -> None:
        self.actions = actions
        self.look = look
        self.saw: list[object] = []

    def decide(self, past: Past) -> Action:
        self.saw.append(self.look(past))
        return self.actions.get(past.period, Action.KEEP)


def test_a_model_serves_from_the_period_after_it_was_bought() -> None:
    table = table_of(turning_world(periods=6, turn=2))
    outcome = replay(table, Scripted({3: Action.TRAIN}), price=7.0)
    assert outcome.trainings == (4,)
    assert outcome.loss == pytest.approx(table.trained_sums[0, :4].sum() + table.trained_sums[4, 4:].sum())
    assert outcome.cost == pytest.approx(outcome.loss + 7.0)


def test_a_frozen_challenger_serves_for_nothing() -> None:
    table = table_of(turning_world(periods=6, turn=2))
    outcome = replay(table, Scripted({3: Action.SWAP}), price=7.0)
    assert (outcome.trainings, outcome.swaps) == ((), (4,))
    assert outcome.cost == pytest.approx(table.trained_sums[0, :4].sum() + table.frozen_sums[4, 4:].sum())


def test_losses_are_those_of_what_served_the_row() -> None:
    table = table_of(turning_world(periods=6, turn=2))
    stream = table.stream
    looks = Scripted({2: Action.TRAIN}, lambda past: past.champion_losses(stream.first_rows, past.known))
    replay(table, looks, price=1.0)
    switch, known = stream.begin(3), stream.known(stream.begin(5))
    wanted = np.concatenate([table.trained[0, stream.first_rows : switch], table.trained[3, switch:known]])
    assert np.array_equal(np.asarray(looks.saw[-1]), wanted)


@pytest.mark.parametrize(
    "peek",
    [
        lambda past: past.champion_losses(past.known - 1, past.known + 1),
        lambda past: past.challenger_losses(past.known, past.known + 1),
        lambda past: past.period_losses(past.complete),
        lambda past: past.features(past.now - 1, past.now + 1),
        lambda past: past.champion_losses(0, 1),
    ],
)
def test_looking_ahead_is_refused(peek: Callable[[Past], object]) -> None:
    with pytest.raises(LookAhead):
        replay(table_of(constant_world(periods=4)), Scripted({}, peek), price=1.0)


def test_what_is_known_may_be_looked_at() -> None:
    """The control: the last known row, period and feature are given."""

    def look(past: Past) -> tuple[int, int, int]:
        begin = max(past.stream.first_rows, past.known - 1)
        newest = [past.period_losses(period).rows for period in range(past.complete)]
        return len(past.champion_losses(begin, past.known)), len(newest), len(past.features(past.now - 1, past.now))

    looks = Scripted({}, look)
    replay(table_of(constant_world(periods=4)), looks, price=1.0)
    # Labels are half a period late: a period is complete at the next one's end.
    assert looks.saw == [(1, 0, 1), (1, 1, 1), (1, 2, 1)]


def test_a_policys_choices_do_not_depend_on_what_is_to_come() -> None:
    """The same past with another future gives the same trainings in that past."""
    turned, steady = turning_world(periods=30, turn=20), constant_world(periods=30)
    before = [replay(table_of(stream), ours(5.0), 5.0).trainings for stream in (turned, steady)]
    early = [[period for period in trainings if period <= 20] for trainings in before]
    assert early[0] == early[1]
    assert before[0] != before[1]


def test_ours_buys_after_a_turn_and_not_where_nothing_changes() -> None:
    bought = replay(table_of(turning_world(periods=30, turn=12)), ours(5.0), 5.0)
    assert bought.trainings
    assert min(bought.trainings) > 12
    assert replay(table_of(constant_world(periods=30)), ours(5.0), 5.0).trainings == ()


def test_period_losses_agree_with_row_losses() -> None:
    table = table_of(turning_world(periods=6, turn=2))

    def look(past: Past) -> tuple[float, float] | None:
        if not past.complete:
            return None
        losses = past.period_losses(past.complete - 1)
        rows = past.stream.begin(losses.period), past.stream.begin(losses.period + 1)
        differences = past.champion_losses(*rows).astype(float) - past.challenger_losses(*rows)
        assert losses.difference == pytest.approx(differences.mean())
        assert losses.row_variance == pytest.approx(differences.var())
        return None

    replay(table, Scripted({2: Action.TRAIN, 4: Action.SWAP}, look), price=1.0)


@pytest.mark.parametrize("policy", [Never(), Every(2), Scripted({1: Action.SWAP, 3: Action.TRAIN})])
def test_fits_on_demand_serve_as_the_table_does(policy: Never | Every | Scripted) -> None:
    stream = turning_world(periods=6, turn=2)
    lazy = FittedOnDemand(stream, last_labels, majority_fit)
    mine, theirs = replay(lazy, policy, 2.0), replay(table_of(stream), policy, 2.0)
    assert mine == theirs
    assert lazy.fits == len(mine.trainings) + 1
