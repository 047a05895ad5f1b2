"""One training run from order to end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streams.events import TrainingFailed, TrainingFinished, TrainingOrder
from streams.policy import AdmissionPolicy, Policy
from trainer import job
from trainer.job import ClockRead, Ended, Ignored, Job, Ordered, Submitted

T0 = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = AdmissionPolicy(attempts=2, deadline=timedelta(minutes=10))
ORDER = TrainingOrder(run="r1", attempt=1, champion="c", policy=Policy(), as_of=T0, seed=1, cause="x")


def finished(run: str = "r1", *, passed: bool = True) -> TrainingFinished:
    return TrainingFinished(
        id="f", at=T0, model="m", actor="trainer", reason="gate", run=run, release="new", passed=passed,
        card="k", dataset="d", rows=10, seconds=1.0,
    )  # fmt: skip


def failed(attempt: int = 1, *, retryable: bool = True, run: str = "r1") -> TrainingFailed:
    return TrainingFailed(
        id="x", at=T0, model="m", actor="trainer", reason="worker lost", run=run, attempt=attempt, retryable=retryable
    )


def running() -> Job:
    state, commands = job.advance(Job(), Submitted(ORDER), T0, POLICY)
    assert commands == (Ordered(ORDER),)
    return state


def test_a_finished_run_gives_its_candidate_once() -> None:
    """The second result of the same run is ignored: one run, one candidate."""
    state, (ended,) = job.advance(running(), finished(), T0, POLICY)
    assert isinstance(ended, Ended)
    assert (ended.candidate, ended.failed) == ("new", False)
    _, (again,) = job.advance(state, finished(), T0, POLICY)
    assert isinstance(again, Ignored)


def test_a_candidate_the_gate_refused_is_no_candidate() -> None:
    """passed = false ends the run without one, and that is not a failure of the run."""
    _, (ended,) = job.advance(running(), finished(passed=False), T0, POLICY)
    assert isinstance(ended, Ended)
    assert (ended.candidate, ended.failed) == ("", False)


def test_infrastructure_failures_are_retried_within_the_bound() -> None:
    """Two attempts, then failed for good; the same failure told twice counts once."""
    state, (retry,) = job.advance(running(), failed(), T0, POLICY)
    assert isinstance(retry, Ordered)
    assert retry.order.attempt == 2
    _, (again,) = job.advance(state, failed(attempt=1), T0, POLICY)
    assert isinstance(again, Ignored)
    state, (ended,) = job.advance(state, failed(attempt=2), T0, POLICY)
    assert isinstance(ended, Ended)
    assert ended.failed
    assert state == Job()


def test_a_failure_of_the_data_is_not_retried() -> None:
    """The same rows would fail again."""
    _, (ended,) = job.advance(running(), failed(retryable=False), T0, POLICY)
    assert isinstance(ended, Ended)
    assert ended.failed


def test_an_attempt_past_its_deadline_is_tried_again_then_given_up() -> None:
    """Time comes from the log."""
    state, commands = job.advance(running(), ClockRead(), T0 + timedelta(minutes=9), POLICY)
    assert commands == ()
    state, (retry,) = job.advance(state, ClockRead(), T0 + timedelta(minutes=10), POLICY)
    assert isinstance(retry, Ordered)
    state, (ended,) = job.advance(state, ClockRead(), T0 + timedelta(minutes=20), POLICY)
    assert isinstance(ended, Ended)
    assert ended.failed


def test_results_of_another_run_change_nothing() -> None:
    """Late results of a run that was given up are ignored."""
    before = running()
    for event in (finished("old"), failed(run="old")):
        after, (ignored,) = job.advance(before, event, T0, POLICY)
        assert isinstance(ignored, Ignored)
        assert after == before


def test_a_result_without_a_run_puts_nothing_on_trial() -> None:
    """An idle model has no run; a record that names none does not match it."""
    state, (ignored,) = job.advance(Job(), finished(run=""), T0, POLICY)
    assert isinstance(ignored, Ignored)
    assert state == Job()
