"""Recall in the fold: what served before is tried first, a training starts only when nothing of it is better."""

from __future__ import annotations

import msgspec

from homeostat.model_state import ModelState
from streams.events import RecallFinished, RollBack, TrainingFailed, derived_id
from tests.core.control_log import EVENT_T0, POLICY, ControlLog, evidence, finished, losses, promote, registered, retrain


def once_promoted(*, enabled: bool = True) -> ControlLog:
    """`first` served, `second` serves, and its bake is over."""
    log = ControlLog()
    recall = msgspec.structs.replace(POLICY.recall, enabled=enabled)
    log.tell(registered(policy=msgspec.structs.replace(POLICY, recall=recall)))
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    promote(log)
    log.tell(evidence(log.routes[-1], 300, arm="control"))
    assert log.kinds()[-1] == "BakeEnded"
    return log


def stale(log: ControlLog) -> list[str]:
    """Periods of the second champion until something is bought; the kinds decided on the last one."""
    for period in range(80):
        kinds = log.tell(losses(period, 20 if period < 30 else 40, release="second"))
        if "TrainingBought" in kinds:
            return kinds
    raise AssertionError("nothing was bought")


def recalled(log: ControlLog, release: str, *, attempt: int = 1) -> list[str]:
    run = log.decisions[-1].run
    return log.tell(
        RecallFinished(
            id=derived_id(run, "recall", attempt, release),
            at=EVENT_T0,
            model="m",
            actor="trainer",
            reason="tried",
            run=run,
            attempt=attempt,
            release=release,
        )
    )


def model(log: ControlLog) -> ModelState:
    (state,) = log.state.models.values()
    return state


def test_what_served_before_is_tried_before_a_training_is_bought() -> None:
    """The first champion is better again: it comes in as a candidate, no training starts, the budget is not touched."""
    log = once_promoted()
    started = len(model(log).admission.started)
    assert stale(log)[-1] == "RecallStarted"
    order = log.decisions[-1].order
    assert order is not None
    assert order.recall == ("first",)
    assert recalled(log, "first") == ["Recalled", "ShadowStarted"]
    assert len(model(log).admission.started) == started
    assert log.kinds().count("TrainingStarted") == 1  # the one by hand


def test_when_nothing_is_better_the_same_run_trains() -> None:
    """Its order is the same but for the releases to try."""
    log = once_promoted()
    stale(log)
    run = log.decisions[-1].run
    assert recalled(log, "") == ["TrainingStarted"]
    order = log.decisions[-1].order
    assert order is not None
    assert (order.run, order.recall) == (run, ())
    assert log.tell(finished(run, "third"))[0] == "TrainingEnded"


def test_a_recall_that_fails_costs_no_attempt_of_the_training() -> None:
    """It is worth one try."""
    log = once_promoted()
    stale(log)
    run = log.decisions[-1].run
    failed = TrainingFailed(id="f", at=EVENT_T0, model="m", actor="trainer", reason="away", run=run, attempt=1, retryable=True)
    assert log.tell(failed) == ["TrainingStarted"]


def test_answers_out_of_place_are_refused() -> None:
    """A recall's answer to a training, a training's to a recall, of another attempt, or with a release nobody asked about."""
    log = once_promoted()
    stale(log)
    run = log.decisions[-1].run
    assert log.tell(finished(run, "third")) == ["Refused"]
    log.decisions[-1] = msgspec.structs.replace(log.decisions[-1], run=run)
    assert recalled(log, "first", attempt=2) == ["Refused"]
    log.decisions[-1] = msgspec.structs.replace(log.decisions[-1], run=run)
    assert recalled(log, "smuggled") == ["TrainingStarted"]


def test_a_request_by_hand_and_a_policy_without_recall_train_at_once() -> None:
    """The control: where recall is off, or a person wants a training, nothing is tried before."""
    assert stale(once_promoted(enabled=False))[-1] == "TrainingStarted"
    log = once_promoted()
    assert log.tell(retrain("req-2")) == ["TrainingStarted"]


def test_what_was_taken_out_for_cause_is_tried_too() -> None:
    """The world that it was bad for may be over."""
    log = once_promoted()
    log.tell(RollBack(id="back", at=EVENT_T0, model="m", actor="ada", reason="looks odd", to="first"))
    for period in range(80):
        if "TrainingBought" in log.tell(losses(period, 20 if period < 30 else 40, release="first")):
            break
    order = log.decisions[-1].order
    assert order is not None
    assert order.recall == ("second",)
