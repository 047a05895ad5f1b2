"""From measured differences to a frozen challenger that serves, or to the training that follows it: stories of the whole fold."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from streams.events import (
    Approve,
    Pause,
    Promote,
    QualityIncident,
    QuarantineRule,
    Restored,
    Resume,
    RollBack,
    TrainingFailed,
)
from streams.policy import AdmissionPolicy, ChallengerPolicy
from tests.core.challenger_log import (
    SAID,
    answered,
    model,
    order_of,
    policy,
    serving_frozen,
    stale_until_wanted,
    started,
    wanted,
)
from tests.core.control_log import EVENT_T0, ControlLog, evidence, finished, promote, retrain

SLIGHTLY = 28
"""So bad that the challenger pays and a training does not."""
DEAR = AdmissionPolicy(trainings_per_30_days=1)


def test_a_wanted_challenger_is_frozen_tried_and_promoted_and_the_account_knows() -> None:
    """Through shadow and every step, as any other; no training starts, and none is counted."""
    log = wanted()
    order = order_of(log)
    assert (order.challenger, order.recall, order.training) == (True, (), True)
    assert answered(log, "frozen") == ["ChallengerFrozen", "ShadowStarted"]
    assert model(log).admission.started == ()
    assert not model(log).staleness.excess.frozen
    promote(log)
    assert model(log).rollout.champion == "frozen"
    assert model(log).staleness.excess.frozen
    assert "TrainingStarted" not in log.kinds()


def test_a_trained_champion_s_account_is_not_of_the_frozen_kind() -> None:
    """The control."""
    log = started()
    log.tell(retrain())
    log.tell(finished(order_of(log).run))
    promote(log)
    assert model(log).rollout.champion == "second"
    assert not model(log).staleness.excess.frozen


def test_where_it_is_not_proved_better_the_same_run_trains() -> None:
    """A training pays too; after it the challenger may be wanted again."""
    log = wanted()
    run = order_of(log).run
    assert answered(log, "", challenger=False) == ["TrainingStarted"]
    order = order_of(log)
    assert (order.run, order.challenger) == (run, False)
    assert log.tell(finished(run, passed=False)) == ["TrainingEnded"]
    assert not model(log).frozen_in_vain


def test_where_only_the_challenger_pays_nothing_is_trained() -> None:
    """The run ends without a candidate, also when no answer comes."""
    for refuse in (
        lambda log: answered(log, "", challenger=False),
        lambda log: log.tell(TrainingFailed(id="f", run=order_of(log).run, attempt=1, retryable=True, **SAID)),
    ):
        log = started()
        stale_until_wanted(log, bad=SLIGHTLY)
        assert not order_of(log).training
        assert refuse(log) == ["TrainingEnded"]
        assert "a training does not pay" in log.decisions[-1].why
        assert model(log).frozen_in_vain
        assert model(log).staleness.refusals == 1


def test_after_one_in_vain_a_training_has_its_turn() -> None:
    """Rejected in shadow: what is wanted next is not the challenger, and after that it may be."""
    log = wanted()
    answered(log, "frozen")
    assert "CandidateRejected" in log.tell(evidence(log.routes[-1], 300, worse=90, better=5))
    assert model(log).frozen_in_vain
    kinds = stale_until_wanted(log, first=40)
    assert "TrainingBought" in kinds
    assert not order_of(log).challenger
    assert log.tell(finished(order_of(log).run, passed=False)) == ["TrainingEnded"]
    assert "ChallengerWanted" in stale_until_wanted(log, first=110)


def test_one_that_is_spoilt_before_it_is_tried_came_to_nothing() -> None:
    """It may have learnt rows of a data bug that was called while it was compared."""
    log = wanted()
    rule = QuarantineRule(incident="i", feature="x", kind="missing", since=EVENT_T0 - timedelta(days=1))
    told = QualityIncident(id="i", release="first", rule=rule, closed=False, **SAID)
    assert log.tell(told) == ["IncidentOpened"]
    assert answered(log, "frozen") == ["ChallengerFrozen", "CandidateRejected"]
    assert model(log).frozen_in_vain


def test_nobody_freezes_one_unasked() -> None:
    """An answer that speaks of one, to a run that wanted none; and to a run that is over."""
    log = started(policy(ChallengerPolicy(silent_periods=3, candidate=False)))
    assert stale_until_wanted(log) == ["StalenessMeasured", "TrainingBought", "TrainingStarted"]
    assert answered(log, "frozen") == ["Refused"]
    log = wanted()
    answered(log, "frozen")
    assert answered(log, "another") == ["Refused"]


def test_a_held_model_wants_nothing_and_an_answer_starts_nothing() -> None:
    """The hold comes before the want, and between the want and its answer."""
    log = started()
    log.tell(Pause(id="pause", **SAID))
    assert stale_until_wanted(log) == ["StalenessMeasured", "ChallengerWanted", "TrainingRefused"]
    log = wanted()
    log.tell(Pause(id="pause", **SAID))
    assert answered(log, "", challenger=False) == ["TrainingEnded"]
    assert model(log).admission.started == ()
    log = wanted()
    log.tell(Pause(id="pause", **SAID))
    assert answered(log, "frozen") == ["ChallengerFrozen", "CandidateQueued"]
    assert log.tell(Resume(id="resume", **SAID)) == ["Resumed", "ShadowStarted"]


def test_observed_it_is_said_and_not_frozen() -> None:
    """Autonomy observe."""
    log = started(policy(autonomy="observe"))
    assert stale_until_wanted(log) == ["StalenessMeasured", "ChallengerWanted", "TrainingRefused"]
    assert not model(log).job.run


def test_suggested_it_is_frozen_on_a_person_s_word() -> None:
    """Asked once; then as automatic."""
    log = started(policy(autonomy="suggest"))
    assert stale_until_wanted(log) == ["StalenessMeasured", "ChallengerWanted", "ApprovalWanted"]
    asked = log.decisions[-1].id
    assert log.tell(Approve(id="yes", decision=asked, **SAID)) == ["Approved", "RecallStarted"]
    assert order_of(log).challenger
    assert answered(log, "frozen") == ["ChallengerFrozen", "ShadowStarted"]


def test_approved_only_it_answers_nobody_without_a_word() -> None:
    """Frozen by itself, and asked about before its first row."""
    log = wanted(autonomy="approve")
    answered(log, "frozen")
    assert "ApprovalWanted" in log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    assert log.routes[-1].step == 0
    assert log.tell(Approve(id="yes", decision=log.decisions[-1].id, **SAID)) == ["Approved", "StepTaken"]


def test_the_budget_is_spared_by_a_frozen_one_and_spent_by_a_training() -> None:
    """One training in thirty days: it is still there after the challenger, and gone after it was used."""
    log = wanted(admission=DEAR)
    answered(log, "frozen")
    log.tell(RollBack(id="out", **SAID))
    assert log.tell(retrain()) == ["TrainingStarted"]
    log = wanted(admission=DEAR)
    answered(log, "", challenger=False)
    log.tell(finished(order_of(log).run, passed=False))
    assert log.tell(retrain()) == ["TrainingRefused"]


def test_a_person_s_candidate_that_goes_back_in_its_bake_leaves_the_account_of_who_serves_again() -> None:
    """Nothing was bought: no refusal is counted, but the frozen champion before it serves again."""
    log = serving_frozen()
    log.tell(retrain("req-2"))
    log.tell(finished(order_of(log).run, "third", passed=False))
    assert "ShadowStarted" in log.tell(Promote(id="try", release="third", **SAID))
    promote(log)
    assert not model(log).staleness.excess.frozen
    assert "RolledBack" in log.tell(RollBack(id="back", **SAID))
    assert model(log).rollout.champion == "frozen"
    assert model(log).staleness.excess.frozen
    assert model(log).staleness.refusals == 0


def test_a_restored_model_goes_on_looking_for_its_challenger() -> None:
    """Its order stood in the log that is gone: it is told again as what it was, and its offsets begin anew."""
    log = wanted()
    state = model(log)
    new = ControlLog()
    restored = Restored(id="restored", incarnation=2, state=msgspec.msgpack.encode(state), **SAID)
    assert new.tell(restored) == ["Restored", "RecallStarted"]
    assert order_of(new).challenger
    assert model(new).losses.files == {}
    assert answered(new, "frozen") == ["ChallengerFrozen", "ShadowStarted"]
