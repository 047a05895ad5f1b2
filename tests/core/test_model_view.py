"""What a model's decisions say of it, held against the state that the fold keeps."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from homeostat.model_state import ModelState
from homeostat.model_view import ModelView, model_view
from streams.events import Decided, PolicySet, RollBack
from tests.core.control_log import BROKER_T0, EVENT_T0, POLICY, ControlLog, evidence, finished, promote, registered, retrain
from tests.core.control_log import losses as losses_of
from tests.core.test_people import approve, in_shadow, offer, override, pause, resume, started


def view_of(log: ControlLog) -> ModelView:
    return model_view(log.decisions)


def state_of(log: ControlLog) -> ModelState:
    return log.state.models["m"]


def back(to: str = "") -> RollBack:
    return RollBack(id=f"back-{to}", at=EVENT_T0, model="m", actor="ada", reason="worse by hand", to=to)


def test_what_served_when_and_by_which_decision() -> None:
    """Registered, promoted, taken back: three stretches without a gap, the last one open."""
    log = in_shadow()
    promote(log)
    log.tell(back())
    view = view_of(log)
    assert [(one.release, one.decision.kind) for one in view.served] == [
        ("first", "Registered"),
        ("second", "Promoted"),
        ("first", "RolledBack"),
    ]
    assert [one.until for one in view.served] == [view.served[1].since, view.served[2].since, None]
    assert view.served[0].since == BROKER_T0
    assert view.served[-1].release == state_of(log).rollout.champion
    assert view.last_heal == view.served[-1]


def test_a_candidate_that_gets_its_turn_in_the_same_breath_is_not_the_reason() -> None:
    """The release taken back made room for a candidate that waited: the route names both, the rollback is why."""
    log = in_shadow()
    promote(log)
    log.tell(retrain("req-2"))
    log.tell(finished(log.decisions[-1].run, "third"))
    assert log.tell(back()) == ["RolledBack", "ShadowStarted"]
    assert (view_of(log).served[-1].release, view_of(log).served[-1].decision.kind) == ("first", "RolledBack")


def test_a_candidate_that_is_tried_changes_nobody_who_serves() -> None:
    log = in_shadow()
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    assert [one.release for one in view_of(log).served] == ["first"]
    assert view_of(log).last_heal is None


def test_held_until_it_may_go_on() -> None:
    log = started()
    assert view_of(log).paused is None
    log.tell(pause())
    log.tell(pause(2))
    assert view_of(log).paused is not None
    assert state_of(log).rollout.paused
    log.tell(resume())
    assert view_of(log).paused is None


def open_questions(log: ControlLog) -> list[str]:
    """Those of the view, which must be those of the fold."""
    questions = [question.id for question in view_of(log).questions]
    assert questions == [one.decision for one in state_of(log).asked]
    return questions


def test_a_question_is_open_until_it_is_answered() -> None:
    log = in_shadow("approve")
    assert open_questions(log) == []
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    (question,) = open_questions(log)
    log.tell(approve(question))
    assert open_questions(log) == []


def test_a_question_about_a_candidate_that_is_out_is_none() -> None:
    log = in_shadow("approve")
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    log.tell(back())
    assert open_questions(log) == []


def test_a_question_about_a_training_is_settled_by_any_training() -> None:
    """The rollback of somebody else's candidate leaves it open; a run by hand settles it."""
    log = started("suggest")
    for period in range(60):
        log.tell(losses_of(period, 20 if period < 30 else 40))
    assert len(open_questions(log)) == 1
    log.tell(offer("second"))
    log.tell(back())
    assert len(open_questions(log)) == 1
    log.tell(retrain("req-2"))
    assert open_questions(log) == []


def test_questions_are_settled_one_by_one() -> None:
    """Agreed to the candidate, the training is still asked for; a candidate that never got in says nothing of the one that asks."""
    first = started().decisions[0]

    def decided(kind: str, run: str) -> Decided:
        return msgspec.structs.replace(first, id=f"{kind}-{run}", kind=kind, run=run)

    asked = [decided("ApprovalWanted", ""), decided("ApprovalWanted", "r"), decided("CandidateRejected", "q")]
    assert [question.run for question in model_view(asked).questions] == ["", "r"]
    assert [question.run for question in model_view([*asked, decided("Approved", "r")]).questions] == [""]
    assert [question.run for question in model_view([*asked, decided("Approved", "")]).questions] == ["r"]


def test_the_policy_is_that_of_the_last_decision_that_set_one() -> None:
    """A refused one sets none."""
    log = started()
    policy = view_of(log).policy
    assert policy is not None
    assert policy.kind == "Registered"
    impossible = msgspec.structs.replace(POLICY, autonomy="sometimes")
    for number, one in enumerate((POLICY, impossible)):
        log.tell(PolicySet(id=f"p-{number}", at=EVENT_T0, model="m", actor="ada", reason="because", policy=one))
    policy = view_of(log).policy
    assert policy is not None
    assert (policy.kind, policy.cause) == ("PolicyChanged", "p-0")


def test_runs_tell_what_became_of_them() -> None:
    """One that serves, one that the gate refused, one by hand that waits; each with its candidate."""
    log = in_shadow()
    promote(log)
    log.tell(retrain("req-2"))
    log.tell(finished(log.decisions[-1].run, "third", passed=False))
    log.tell(offer("fourth"))
    runs = view_of(log).runs
    assert [(run.release, run.state, run.attempts) for run in runs] == [
        ("second", "serves, watched", 1),
        ("third", "ended", 1),
        ("fourth", "waits", 0),
    ]
    assert runs[0].latest.kind == "Promoted"
    assert runs[0].since == BROKER_T0 + timedelta(seconds=1)


def test_an_override_is_a_state_of_its_run() -> None:
    log = in_shadow()
    log.tell(override())
    assert [run.state for run in view_of(log).runs] == ["answers a share"]


def test_every_release_that_was_spoken_of_can_be_named() -> None:
    """Also one that the gate refused: it may be offered by hand. A refusal names none."""
    log = ControlLog()
    log.tell(registered())
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run, passed=False))
    log.tell(back("never-was"))
    assert view_of(log).releases == {"first": "Registered", "second": "TrainingEnded"}
