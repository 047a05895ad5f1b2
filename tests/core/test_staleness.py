"""The staleness rule against reference arithmetic, its guard, its back-off, and what bad periods do."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from drift import staleness
from drift.staleness import Assessment, ChampionReplaced, PeriodMeasured, RunRefused, Staleness, TrainingTaken
from streams.policy import StalenessPolicy

UNGUARDED = StalenessPolicy(retrain_cost="40 errors", noise_trainings=1_000.0)
GUARDED = StalenessPolicy(retrain_cost="40 errors", noise_trainings=1.0)

# (period, excess to come, lost errors, ahead errors, due): computed once with an independent implementation
# on the loss sequence of `_period`, with a new champion after period 23.
REFERENCE = [
    (7, 0.0258106191, 17.4304868, -2.273478, False),
    (15, 0.0669222414, 57.7311057, 21.959588, False),
    (23, 0.0995196669, 121.1159815, 58.909193, True),
    (31, 0.0442156367, 24.1150226, 2.674767, False),
    (39, 0.0858810266, 74.0794849, 30.587311, True),
]


def _period(number: int) -> PeriodMeasured:
    rows = 90 + (number * 7) % 13
    errors = round(rows * (0.2 + 0.004 * number + 0.03 * ((number * 5) % 7 - 3) / 3))
    mean = errors / rows
    return PeriodMeasured(rows=rows, difference=mean, row_variance=mean - mean * mean)


def _measure(state: Staleness, event: PeriodMeasured, policy: StalenessPolicy) -> tuple[Staleness, Assessment]:
    state, (assessment,) = staleness.advance(state, event, policy)
    return state, assessment


def _steady(loss: float, rows: int = 100) -> PeriodMeasured:
    return PeriodMeasured(rows=rows, difference=loss, row_variance=loss * (1.0 - loss))


def _stale(policy: StalenessPolicy) -> tuple[Staleness, int]:
    """A model that was well for 30 periods and then is not; the period at which a training is bought."""
    state = Staleness()
    for number in range(80):
        state, assessment = _measure(state, _steady(0.2 if number < 30 else 0.4), policy)
        if assessment.buy:
            return state, number
    raise AssertionError("nothing was bought in 80 periods")


def test_numbers_agree_with_the_reference_arithmetic() -> None:
    """Excess, loss so far and marginal value are those of the published policy, also across a new champion."""
    state, seen = Staleness(), {}
    for number in range(40):
        state, seen[number] = _measure(state, _period(number), UNGUARDED)
        if number == 23:
            state, _ = staleness.advance(state, ChampionReplaced(), UNGUARDED)
    for number, excess, lost, ahead, due in REFERENCE:
        numbers = seen[number].numbers
        assert numbers["excess"] == pytest.approx(excess, abs=2e-9)
        assert numbers["lost_errors"] == pytest.approx(lost, abs=1e-5)
        assert numbers["ahead_errors"] == pytest.approx(ahead, abs=1e-4)
        assert seen[number].buy is due


def test_a_jump_is_bought_and_a_steady_loss_is_not() -> None:
    """Staleness buys; the same loss level for ever buys nothing."""
    _, bought = _stale(GUARDED)
    assert 30 <= bought <= 36
    state = Staleness()
    for _ in range(200):
        state, assessment = _measure(state, _steady(0.4), GUARDED)
        assert not assessment.buy


def test_a_higher_price_waits_longer() -> None:
    """The price steers: what is worth a training at 10 errors is not at 10,000."""
    state = Staleness()
    dear = StalenessPolicy(retrain_cost="10000 errors", noise_trainings=1.0)
    for number in range(60):
        state, assessment = _measure(state, _steady(0.2 if number < 30 else 0.4), dear)
        assert not assessment.buy
    cheap = _stale(StalenessPolicy(retrain_cost="10 errors", noise_trainings=1.0))[1]
    assert cheap <= _stale(GUARDED)[1]


def test_the_guard_holds_back_what_noise_would_buy() -> None:
    """On losses that only fluctuate, the guard buys fewer trainings than no guard."""
    bought = {}
    for allowed in (1_000.0, 1.0):
        policy = StalenessPolicy(retrain_cost="5 errors", noise_trainings=allowed)
        state, count = Staleness(), 0
        for number in range(300):
            wobble = 0.06 * (((number * 2654435761) >> 7) % 101 / 50.0 - 1.0)
            state, assessment = _measure(state, _steady(0.25 + wobble), policy)
            if assessment.buy:
                count += 1
                state, _ = staleness.advance(state, ChampionReplaced(), policy)
        bought[allowed] = count
    assert bought[1.0] < bought[1_000.0]


def test_nothing_is_bought_while_a_training_is_under_way() -> None:
    """One want at a time: the account goes on, the purse is closed."""
    state, _ = _stale(GUARDED)
    state, _ = staleness.advance(state, TrainingTaken(), GUARDED)
    for _ in range(20):
        state, assessment = _measure(state, _steady(0.6), GUARDED)
        assert not assessment.buy
        assert assessment.why == "a training is under way"


def test_a_refusal_sinks_the_price_and_doubles_the_back_off() -> None:
    """After k refusals in a row the next purchase waits 2 * 2**(k-1) periods at least."""
    state, _ = _stale(GUARDED)
    waits = []
    for _ in range(3):
        state, _ = staleness.advance(state, RunRefused(), GUARDED)
        assert state.total == 0.0
        waits.append(state.wait)
    assert waits == [2, 4, 8]
    state, _ = staleness.advance(state, ChampionReplaced(), GUARDED)
    assert (state.refusals, state.wait) == (0, 0)


def test_periods_without_labels_age_the_champion_and_buy_nothing_by_themselves() -> None:
    """No labels, no decision: a missing number never buys a training."""
    state = Staleness()
    for _ in range(50):
        state, assessment = _measure(state, PeriodMeasured(rows=0, difference=0.0, row_variance=0.0), GUARDED)
        assert not assessment.buy
    assert (state.age, state.seen) == (50, 0)


def test_the_policy_can_switch_it_off() -> None:
    """Another trigger measures staleness and buys nothing by it."""
    policy = msgspec.structs.replace(GUARDED, trigger="nothing")
    state = Staleness()
    for number in range(80):
        state, assessment = _measure(state, _steady(0.2 if number < 30 else 0.6), policy)
        assert not assessment.buy


def test_a_snapshot_restores_the_same_account() -> None:
    """Packed and unpacked at any period, it gives the same numbers to the last bit."""
    whole, packed = Staleness(), Staleness()
    for number in range(40):
        whole, expected = _measure(whole, _period(number), GUARDED)
        packed = msgspec.msgpack.decode(msgspec.msgpack.encode(packed), type=Staleness)
        packed, got = _measure(packed, _period(number), GUARDED)
        assert got == expected


def test_a_first_period_without_an_error_does_not_make_noise_look_certain() -> None:
    """Errors of 3 % for ever, none in the first period: nothing is bought, as when the first had one."""
    rng = np.random.default_rng(7)
    for first in (0, 1):
        state = Staleness()
        for number in range(400):
            errors = first if number == 0 else int(rng.binomial(30, 0.03))
            mean = errors / 30
            period = PeriodMeasured(rows=30, difference=mean, row_variance=mean * (1 - mean))
            state, assessment = _measure(state, period, GUARDED)
            assert not assessment.buy, (first, number, assessment)
