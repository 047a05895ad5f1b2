"""Chains of causes, on stories of a model."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from homeostat.explanation import Explanation, explain
from streams.codec import decode_control
from streams.events import AcceptChange, Control, Decided, EvidenceGathered, ReleaseQuarantine, RollBack, Ticked, TrainingFailed
from tests.core.control_log import (
    EVENT_T0,
    POLICY,
    ControlLog,
    evidence,
    finished,
    promote,
    registered,
    retrain,
    stale_until_bought,
)
from tests.core.test_incidents import called
from tests.core.test_incidents import started as started_plain
from tests.core.test_people import approve, in_shadow, started


def explained(log: ControlLog, kind: str, number: int = -1) -> Explanation:
    """The explanation of the last decision of that kind."""
    decision = [one for one in log.decisions if one.kind == kind][number]

    def record_of(one: Decided) -> Control | None:
        return decode_control(log.messages[one.offset].value)

    return explain(decision, log.decisions, record_of)


def told(found: Explanation) -> list[str]:
    """Kinds from the decision to its root, each followed by the record it was made on."""
    line = []
    for link in found.chain:
        line += [link.decision.kind, *(one.kind for one in link.together), f"<{type(link.record).__name__}>"]
    return line


def test_a_promotion_goes_back_to_the_losses_that_bought_it() -> None:
    log = started()
    log.tell(finished(stale_until_bought(log)))
    promote(log)
    found = explained(log, "Promoted")
    assert told(found) == [
        *("Promoted", "<EvidenceGathered>", "StepTaken", "<EvidenceGathered>", "StepTaken", "<EvidenceGathered>"),
        *("ShadowStarted", "TrainingEnded", "<TrainingFinished>"),
        *("TrainingStarted", "TrainingBought", "StalenessMeasured", "<LossesGathered>"),
    ]
    assert found.chain[-1].together[0].numbers["price_errors"] == POLICY.staleness.price_errors
    assert found.followed == ()
    assert not found.over  # it is watched on, and may be taken back


def test_a_purchase_was_followed_by_all_that_its_run_did() -> None:
    log = started()
    log.tell(finished(stale_until_bought(log)))
    promote(log)
    followed = [one.kind for one in explained(log, "TrainingBought").followed]
    assert followed == ["TrainingStarted", "TrainingEnded", "ShadowStarted", "StepTaken", "StepTaken", "Promoted"]


def test_the_root_of_a_run_by_hand_is_the_request() -> None:
    log = in_shadow()
    found = explained(log, "ShadowStarted")
    assert told(found)[-2:] == ["TrainingStarted", "<RetrainRequested>"]
    assert found.chain[-1].record.actor == "ada"  # type: ignore[union-attr]  # it is a request


def test_a_bake_goes_back_to_the_promotion_that_it_watches() -> None:
    log = in_shadow()
    promote(log)
    log.tell(evidence(log.routes[-1], 200, arm="control"))
    assert told(explained(log, "BakeEnded"))[:4] == ["BakeEnded", "<EvidenceGathered>", "Promoted", "<EvidenceGathered>"]


def test_an_approval_goes_back_to_the_question() -> None:
    log = in_shadow("approve")
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    question = next(one for one in log.decisions if one.kind == "ApprovalWanted")
    log.tell(approve(question.id))
    assert told(explained(log, "StepTaken"))[:6] == [
        *("StepTaken", "Approved", "<Approve>", "ApprovalWanted", "<EvidenceGathered>", "ShadowStarted"),
    ]


def test_a_second_attempt_goes_back_to_the_first() -> None:
    log = started()
    log.tell(retrain())
    run = log.decisions[-1].run
    log.tell(TrainingFailed(id="f", at=EVENT_T0, model="m", actor="trainer", reason="lost", run=run, attempt=1, retryable=True))
    assert told(explained(log, "TrainingRetried")) == [
        "TrainingRetried",
        "<TrainingFailed>",
        "TrainingStarted",
        "<RetrainRequested>",
    ]


def test_a_deadline_goes_back_to_what_did_not_end() -> None:
    """A training in flight beside it is not taken for the cause."""
    log = ControlLog()
    canary = msgspec.structs.replace(POLICY.canary, deadline=timedelta(seconds=2))
    log.tell(registered(policy=msgspec.structs.replace(POLICY, canary=canary)))
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    log.tell(retrain("req-2"))
    assert "CandidateRejected" in log.tell(Ticked(id="t", at=EVENT_T0, model="m", actor="controller", reason="deadline"))
    assert told(explained(log, "CandidateRejected"))[:3] == ["CandidateRejected", "<Ticked>", "ShadowStarted"]


@pytest.mark.parametrize(
    "ending",
    [
        called(closed=True),
        ReleaseQuarantine(id="r", at=EVENT_T0, model="m", actor="ada", reason="mended", incident="bug-1"),
        AcceptChange(id="a", at=EVENT_T0, model="m", actor="ada", reason="new unit", feature="price"),
    ],
)
def test_the_end_of_an_incident_goes_back_to_its_beginning(ending: Control) -> None:
    """However it ends; another feature's incident is not taken for it."""
    log = started_plain()
    log.tell(called())
    other = called()
    log.tell(_of_feature(other, "demand"))
    log.tell(ending)
    found = explained(log, "IncidentClosed")
    assert found.chain[-1].decision.kind == "IncidentOpened"
    assert found.chain[-1].record == called()


def _of_feature(record: Control, feature: str) -> Control:
    assert hasattr(record, "rule")
    rule = msgspec.structs.replace(record.rule, incident="bug-2", feature=feature)
    return msgspec.structs.replace(record, id="bug-2-False", rule=rule)


def test_a_person_is_a_root() -> None:
    log = in_shadow()
    promote(log)
    log.tell(RollBack(id="b", at=EVENT_T0, model="m", actor="ada", reason="by hand"))
    assert told(explained(log, "RolledBack")) == ["RolledBack", "<RollBack>"]


def test_a_record_that_is_no_longer_kept_ends_the_chain() -> None:
    log = in_shadow()
    decision = log.decisions[-1]
    found = explain(decision, log.decisions, lambda _: None)
    assert [link.decision.kind for link in found.chain] == ["ShadowStarted"]
    assert found.chain[0].record is None


def test_evidence_of_a_candidate_finds_its_own_rollout() -> None:
    """The same release tried twice: the later rollout is the cause, not the earlier."""
    log = in_shadow()
    log.tell(RollBack(id="b", at=EVENT_T0, model="m", actor="ada", reason="out"))
    log.tell(retrain("req-2"))
    log.tell(finished(log.decisions[-1].run))
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    found = explained(log, "StepTaken")
    assert isinstance(found.chain[0].record, EvidenceGathered)
    assert found.chain[1].decision == [one for one in log.decisions if one.kind == "ShadowStarted"][-1]


def test_late_evidence_of_a_rollout_that_is_over_finds_that_rollout() -> None:
    """Though another candidate is tried by now."""
    log = in_shadow()
    late = evidence(log.routes[-1], 300, better=15, worse=5)
    log.tell(RollBack(id="b", at=EVENT_T0, model="m", actor="ada", reason="out"))
    log.tell(retrain("req-2"))
    log.tell(finished(log.decisions[-1].run, "third"))
    assert log.tell(late) == ["EvidenceNoted"]
    assert explained(log, "EvidenceNoted").chain[1].decision.release == "second"


def test_a_late_result_finds_its_own_run() -> None:
    """Refused, since another run is in flight by now."""
    log = in_shadow()
    run = log.decisions[-1].run
    log.tell(retrain("req-2"))
    log.tell(msgspec.structs.replace(finished(run, "third"), id="late"))
    assert explained(log, "Refused").chain[1].decision.run == run


def test_what_nothing_follows_any_more_is_told_from_what_goes_on() -> None:
    """A rejected candidate's run is over, one in shadow is not; a question waits for its answer."""
    log = in_shadow()
    assert not explained(log, "ShadowStarted").over
    log.tell(RollBack(id="b", at=EVENT_T0, model="m", actor="ada", reason="out"))
    assert explained(log, "CandidateRejected").over
    log = in_shadow("approve")
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    assert not explained(log, "ApprovalWanted").over
