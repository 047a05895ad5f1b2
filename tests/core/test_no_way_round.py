"""Ways round a bound, a pause or a person's word, each of which was open once."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from homeostat.model_state import ModelState
from streams.events import (
    AcceptChange,
    Pause,
    PolicySet,
    Promote,
    QualityIncident,
    RecallFinished,
    Resume,
    RollBack,
    TrainingFailed,
)
from streams.policy import Policy
from streams.policy_limits import fault
from tests.core.control_log import EVENT_T0, POLICY, ControlLog, evidence, finished, losses, promote, registered, retrain
from tests.core.test_incidents import RULE, called
from tests.core.test_people import in_shadow, override
from tests.core.test_recall_flow import once_promoted, recalled, stale

_BY = {"at": EVENT_T0, "model": "m", "actor": "ada", "reason": "because"}
LONG = "x" * 257


def policy_set(policy: Policy, number: int = 1) -> PolicySet:
    return PolicySet(id=f"policy-{number}", policy=policy, **_BY)  # type: ignore[arg-type]  # one dictionary for several types


def canary(**changed: object) -> Policy:
    return msgspec.structs.replace(POLICY, canary=msgspec.structs.replace(POLICY.canary, **changed))


def model(log: ControlLog) -> ModelState:
    (state,) = log.state.models.values()
    return state


@pytest.mark.parametrize(
    "record",
    [
        AcceptChange(id="a", feature=LONG, **_BY),  # type: ignore[arg-type]
        Promote(id="p", release=LONG, **_BY),  # type: ignore[arg-type]
        called(msgspec.structs.replace(RULE, incident=LONG)),
        called(msgspec.structs.replace(RULE, feature=LONG)),
    ],
)
def test_names_that_are_kept_have_a_bound(record: AcceptChange | Promote | QualityIncident) -> None:
    """A state, or a route, that outgrew its topic would stop every model of its partition."""
    log = ControlLog()
    log.tell(registered())
    assert log.tell(msgspec.structs.replace(record, id=record.id[:20])) == ["Refused"]
    assert "at most 256" in log.decisions[-1].why


@pytest.mark.parametrize("section", ["canary", "admission", "staleness"])
def test_no_duration_is_so_long_that_dates_end(section: str) -> None:
    """Else the first deadline would break the fold."""
    name = {"canary": "deadline", "admission": "cooldown", "staleness": "maturity"}[section]
    long = msgspec.structs.replace(getattr(POLICY, section), **{name: timedelta(days=9_000_000)})
    assert "at most 3650 days" in fault(msgspec.structs.replace(POLICY, **{section: long}))


def test_a_model_of_the_first_year_can_be_trained_twice() -> None:
    """The budget's window does not reach before time began."""
    log = ControlLog()
    first = EVENT_T0.replace(year=1)
    log.tell(msgspec.structs.replace(registered(), at=first))
    log.tell(msgspec.structs.replace(retrain("a"), at=first))
    log.tell(finished(log.decisions[-1].run, passed=False))
    assert log.tell(msgspec.structs.replace(retrain("b"), at=first)) == ["TrainingStarted"]


def test_a_held_model_trains_nothing_although_its_run_would_go_on() -> None:
    """Neither after a recall in vain nor after a failure; afterwards it may be bought again."""
    log = once_promoted()
    stale(log)
    run = log.decisions[-1].run
    log.tell(Pause(id="p", **_BY))  # type: ignore[arg-type]
    nothing = RecallFinished(id="n", at=EVENT_T0, model="m", actor="trainer", reason="none", run=run, attempt=1, release="")
    assert log.tell(nothing) == ["TrainingEnded"]
    assert (model(log).job.run, model(log).staleness.running) == ("", False)
    other = ControlLog()
    other.tell(registered())
    other.tell(retrain())
    run = other.decisions[-1].run
    other.tell(Pause(id="p", **_BY))  # type: ignore[arg-type]
    lost = TrainingFailed(id="f", at=EVENT_T0, model="m", actor="trainer", reason="lost", run=run, attempt=1, retryable=True)
    assert other.tell(lost) == ["TrainingEnded"]
    other.tell(Resume(id="r", **_BY))  # type: ignore[arg-type]
    assert other.tell(retrain("again")) == ["TrainingStarted"]


def test_a_policy_that_wants_a_persons_word_wants_it_of_whoever_is_tried_too() -> None:
    """Set while the candidate is in shadow, or waits."""
    log = in_shadow()
    log.tell(policy_set(msgspec.structs.replace(POLICY, autonomy="approve")))
    assert log.tell(evidence(log.routes[-1], 300, better=15, worse=5)) == ["ApprovalWanted"]
    waiting = in_shadow()
    waiting.tell(retrain("req-2"))
    waiting.tell(finished(waiting.decisions[-1].run, "third"))
    waiting.tell(policy_set(msgspec.structs.replace(POLICY, autonomy="approve")))
    waiting.tell(RollBack(id="out", **_BY))  # type: ignore[arg-type]
    assert waiting.tell(evidence(waiting.routes[-1], 300, better=15, worse=5)) == ["ApprovalWanted"]


def test_no_override_goes_straight_to_everybody_whatever_the_policy_has_become() -> None:
    """It waits, its policy loses its steps: then it begins in shadow."""
    log = in_shadow()
    log.tell(retrain("req-2"))
    log.tell(finished(log.decisions[-1].run, "third", passed=False))
    log.tell(override("third"))
    log.tell(policy_set(canary(steps=(1.0,))))
    log.tell(RollBack(id="out", **_BY))  # type: ignore[arg-type]
    assert (log.routes[-1].candidate, log.routes[-1].share) == ("third", 0.0)


def test_a_training_bought_for_what_waits_already_is_ended_by_its_rejection() -> None:
    """Else nothing would ever be bought again."""
    log = once_promoted()
    stale(log)
    run = log.decisions[-1].run
    log.tell(Promote(id="busy", release="other", **_BY))  # type: ignore[arg-type]
    log.tell(Promote(id="offer", release="first", **_BY))  # type: ignore[arg-type]
    log.decisions[-1] = msgspec.structs.replace(log.decisions[-1], run=run)
    assert recalled(log, "first") == ["Recalled", "CandidateQueued"]
    log.tell(RollBack(id="out-1", **_BY))  # type: ignore[arg-type]
    assert log.routes[-1].candidate == "first"
    log.tell(RollBack(id="out-2", **_BY))  # type: ignore[arg-type]
    assert not model(log).staleness.running


def test_a_recall_that_came_to_nothing_is_not_repeated_under_the_same_champion() -> None:
    """A release that is better on paper, and always fails live, must not keep trainings out."""
    log = once_promoted()
    stale(log)
    recalled(log, "first")
    log.tell(RollBack(id="out", **_BY))  # type: ignore[arg-type]
    for period in range(80, 200):
        if "TrainingBought" in log.tell(losses(period, 20 if period < 90 else 45, release="second")):
            break
    assert log.decisions[-1].kind == "TrainingStarted"


def test_a_rollback_by_hand_forgets_no_run_that_is_under_way() -> None:
    """One that was asked for meanwhile goes on, and nothing is bought beside it."""
    log = once_promoted()
    log.tell(retrain("req-2"))
    log.tell(RollBack(id="back", **_BY))  # type: ignore[arg-type]
    assert model(log).job.run
    assert model(log).staleness.running


def test_whoever_is_tried_is_looked_at_again_however_many_runs_came_since() -> None:
    """Nine more runs do not make its dataset unknown."""
    log = in_shadow()
    for number in range(9):
        log.tell(retrain(f"more-{number}"))
        log.tell(finished(log.decisions[-1].run, f"r{number}", passed=False))
    assert "CandidateRejected" in log.tell(called())


def test_losses_of_a_period_that_has_not_ended_are_refused() -> None:
    """One absurd number would stop the measuring for ever."""
    log = ControlLog()
    log.tell(registered())
    absurd = msgspec.structs.replace(losses(3, 20), period=2**60, id="absurd")
    assert log.tell(absurd) == ["Refused"]
    assert log.tell(losses(3, 20)) == ["StalenessMeasured"]


def test_a_question_about_a_training_ends_with_the_policy_that_asked_it() -> None:
    """Under `observe` nothing is bought, whatever was asked before."""
    log = ControlLog()
    log.tell(registered(policy=msgspec.structs.replace(POLICY, autonomy="suggest")))
    for period in range(60):
        log.tell(losses(period, 20 if period < 30 else 40))
    assert model(log).asked
    log.tell(policy_set(msgspec.structs.replace(POLICY, autonomy="observe")))
    assert not model(log).asked


def test_promotions_without_recall_are_as_before() -> None:
    """The control: a candidate of a run is promoted, and the memory of recalls in vain is empty."""
    log = in_shadow()
    promote(log)
    assert model(log).recalled_in_vain == ()
    assert log.routes[-1].champion == "second"
