"""What is measured, at any price and under any trigger, and what is refused: stories of the whole fold with a challenger."""

from __future__ import annotations

import math

import msgspec
import pytest

from homeostat.chaos.as_agents_tell import score, scores_told
from homeostat.control_fold import LONGEST_ID
from streams.events import (
    UNIT,
    DriftDetected,
    PolicySet,
)
from streams.policy import AdmissionPolicy, ChallengerPolicy
from tests.core.challenger_log import (
    BAD,
    GOOD,
    SAID,
    answered,
    measured,
    model,
    order_of,
    policy,
    priced,
    scored,
    serving_frozen,
    stale_until_wanted,
    started,
    wanted,
)
from tests.core.control_log import EVENT_T0, PERIOD, ControlLog, evidence, finished, losses, promote, retrain

DEAR = AdmissionPolicy(trainings_per_30_days=1)


def alarm(log: ControlLog, release: str = "first") -> list[str]:
    """A feature left its reference."""
    number = len(log.messages)
    return log.tell(
        DriftDetected(
            id=f"drift-{number}", at=EVENT_T0, model="m", actor="agents", reason="shift", release=release, feature="x",
            statistic=9.0, threshold=5.0, since=EVENT_T0, size=1.0,
        )
    )  # fmt: skip


def test_an_alarm_buys_under_a_policy_that_says_so_within_the_budget_and_says_what_it_goes_by() -> None:
    """No other policy buys by one."""
    dear = msgspec.structs.replace(priced("40 errors", trigger="drift"), admission=DEAR)
    log = started(dear)
    assert alarm(log) == ["DriftNoted", "TrainingBought", "TrainingStarted"]
    assert "not by measured staleness" in log.decisions[-2].why
    assert alarm(log) == ["DriftNoted"]  # a training is under way
    log.tell(finished(order_of(log).run))
    promote(log)
    assert alarm(log, "second") == ["DriftNoted", "TrainingBought", "TrainingRefused"]
    assert "budget" in log.decisions[-1].why
    assert alarm(log, "another") == ["DriftNoted"]
    assert alarm(started(priced("inf errors", trigger="drift"))) == ["DriftNoted"]
    assert alarm(started()) == ["DriftNoted"]
    assert alarm(started(priced("40 errors", trigger="nothing"))) == ["DriftNoted"]


def test_an_alarm_ends_the_wait_after_a_refusal() -> None:
    """And only an alarm about who serves."""
    log = wanted()
    answered(log, "frozen")
    log.tell(evidence(log.routes[-1], 300, worse=90, better=5))
    assert model(log).staleness.wait > 0
    alarm(log, "another")
    assert model(log).staleness.wait > 0
    alarm(log)
    assert model(log).staleness.wait == 0


def test_at_no_price_whatever_is_surely_better_is_bought_and_at_an_endless_one_nothing() -> None:
    """The challenger's share of an endless price is endless too, and no share of it is no number: nothing is bought on it."""
    assert stale_until_wanted(started(priced("0 errors")))[-1] in ("RecallStarted", "TrainingStarted")
    for share in (0.1, 0.0):
        log = started(priced("inf errors", challenger_cost=share))
        for period in range(60):
            assert measured(log, period, GOOD if period < 20 else BAD) == ["StalenessMeasured"]
        assert all(math.isfinite(number) for number in log.decisions[-1].numbers.values())


def test_nothing_is_bought_on_a_period_without_compared_rows() -> None:
    """However stale the champion was before it."""
    log = started(priced("0 errors"))
    for period in range(20):
        measured(log, period, GOOD)
    for period in (20, 21):
        nothing = score("first", period, labelled=100, n=0, champion=0, challenger=0)
        log.tell(scores_told("m", EVENT_T0 + PERIOD, (nothing,), first=period * 1_000, end=(period + 1) * 1_000))
        assert log.tell(losses(period, 100)) == ["StalenessMeasured"]
        assert "nothing is bought on a missing number" in log.decisions[-1].why


def test_absurd_sums_are_refused_and_the_model_goes_on() -> None:
    """Each beyond what 64 bits of sums could hold, or than its rows could lose; also ids that no release has."""
    log = started()
    huge, end = 2**62, EVENT_T0 + PERIOD
    for told in (
        score("first", 1, labelled=huge, champion=0, challenger=0),
        msgspec.structs.replace(score("first", 1, labelled=9, champion=0, challenger=0), champion=9 * UNIT + 1),
        score("first", 2**40, labelled=9, champion=0, challenger=0),
        score("r" * (LONGEST_ID + 1), 1, labelled=9, champion=0, challenger=0),
    ):
        assert log.tell(scores_told("m", end, (told,), first=0, end=1_000)) == ["Refused"]
    for partition in (1, 2, 3):
        told = score("first", 1, labelled=huge, champion=0, challenger=0)
        log.tell(scores_told("m", end, (told,), first=0, end=2**63 - 1, partition=partition))
    assert msgspec.msgpack.encode(log.state)
    assert measured(log, 3, GOOD) == ["StalenessMeasured"]


def test_a_repeat_is_refused() -> None:
    """After a restart the challenger's desk tells once more what it had told."""
    log = started()
    assert log.tell(scored(1, 40, 20)) == []
    assert log.tell(scored(1, 40, 20)) == ["Refused"]


def test_another_measure_is_another_account_also_at_a_period_that_is_passed_over() -> None:
    """The period at which the challenger is given up may be of a champion that serves no more."""
    log = started(policy(ChallengerPolicy(silent_periods=1)))
    for period in range(10):
        measured(log, period, GOOD)
    log.tell(losses(10, GOOD))
    log.tell(retrain())
    log.tell(finished(order_of(log).run))
    promote(log)
    kinds = [kind for period in range(11, 13) for kind in log.tell(losses(period, GOOD, release="second"))]
    assert kinds == ["PeriodSkipped", "StalenessMeasured", "StalenessMeasured"]
    skipped, first, second = log.decisions[-3:]
    assert "own loss is measured from here on" in skipped.why
    assert [one.numbers["age_periods"] for one in (first, second)] == [1.0, 2.0]
    assert model(log).staleness.excess.usual_rows == 100.0
    assert model(log).staleness.excess.tracks[0].mean[0] == pytest.approx(0.2, abs=0.01)


def test_a_new_measure_and_new_periods_leave_the_champion_what_it_is() -> None:
    """A frozen challenger serves: the account starts anew, and says so wherever it is measured against a challenger."""
    log = serving_frozen()
    staleness = msgspec.structs.replace(policy().staleness, period=2 * PERIOD)
    log.tell(PolicySet(id="longer", policy=policy(staleness=staleness), **SAID))
    assert (model(log).staleness.age, model(log).staleness.excess.frozen) == (0, True)
    log = serving_frozen()
    log.tell(PolicySet(id="off", policy=policy(ChallengerPolicy(enabled=False)), **SAID))
    log.tell(losses(300, GOOD, release="frozen"))
    assert (model(log).staleness.age, model(log).staleness.excess.frozen) == (1, False)
    log.tell(PolicySet(id="on", policy=policy(), **SAID))
    for period in range(301, 306):
        measured(log, period, GOOD, release="frozen")
    assert (model(log).losses.own, model(log).staleness.excess.frozen) == (False, True)
