"""Rules that a planted bug in trainings, approvals, incidents or agents breaks: True where one holds in the smallest call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from drift.monitoring import Hole, State
from streams.events import (
    Approve,
    Decided,
    EvidenceGathered,
    LossesGathered,
    QualityIncident,
    QuarantineRule,
    Ticked,
    TrainingFailed,
    TrainingOrder,
)
from streams.policy import AdmissionPolicy, Policy
from tests.core.control_log import BROKER_T0, EVENT_T0, POLICY, ControlLog, evidence, finished, losses, registered, retrain
from tests.core.window_log import Windows, folded, known
from trainer import open_runs
from trainer.open_runs import OpenRuns

RULE: Final = QuarantineRule(incident="bug", feature="price", kind="unit", since=EVENT_T0 - timedelta(hours=1), low=0.0, high=1.0)


def started(admission: AdmissionPolicy = POLICY.admission, *, autonomy: str = "auto") -> ControlLog:
    """A registered model."""
    log = ControlLog()
    log.tell(registered(policy=msgspec.structs.replace(POLICY, admission=admission, autonomy=autonomy)))
    return log


def training(admission: AdmissionPolicy = POLICY.admission) -> tuple[ControlLog, str]:
    """With a run in flight."""
    log = started(admission)
    log.tell(retrain())
    return log, log.decisions[-1].run


def one_run_at_a_time() -> bool:
    log, _ = training()
    return log.tell(retrain("req-2")) == ["TrainingRefused"]


def the_budget_is_kept() -> bool:
    log, run = training(AdmissionPolicy(trainings_per_30_days=1))
    log.tell(finished(run, passed=False))
    return log.tell(retrain("req-2")) == ["TrainingRefused"]


def a_run_past_its_deadline_is_given_up() -> bool:
    log = started(AdmissionPolicy(deadline=timedelta(seconds=1)))
    log.tell(retrain())
    tick = Ticked(id="t", at=BROKER_T0, model="m", actor="controller", reason="")
    return log.tell(tick) == ["TrainingRetried"]


def the_failure_of_an_older_attempt_is_ignored() -> bool:
    log, run = training()
    log.tell(failed(run, 1))
    return log.tell(msgspec.structs.replace(failed(run, 1), id="again")) == ["Refused"]


def the_result_of_another_run_is_ignored() -> bool:
    log, _ = training()
    return log.tell(finished("another")) == ["Refused"]


def a_period_is_measured_once() -> bool:
    log = started()
    log.tell(losses(5, 20))
    return log.tell(losses(5, 20)) == ["Refused"]


def losses_fit_their_rows() -> bool:
    return started().tell(losses(5, 1_000, rows=100)) == ["Refused"]


def another_attempt_is_run() -> bool:
    runs = open_runs.decided(OpenRuns(), decision("TrainingStarted", "a"))
    runs = open_runs.answered(runs, "m", runs.orders["m"])
    return open_runs.decided(runs, decision("TrainingRetried", "a", attempt=2)).next() is not None


def the_end_of_an_older_run_closes_no_other() -> bool:
    runs = open_runs.decided(OpenRuns(), decision("TrainingStarted", "b"))
    return open_runs.decided(runs, decision("CandidateRejected", "a")).next() is not None


def an_approval_answers_its_own_question() -> bool:
    log = started(autonomy="approve")
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    word = Approve(id="a", at=EVENT_T0, model="m", actor="ada", reason="because", decision="another")
    return log.tell(word) == ["Refused"]


def a_candidate_of_spoilt_rows_goes() -> bool:
    log, run = training()
    log.tell(finished(run))
    return log.tell(incident()) == ["IncidentOpened", "CandidateRejected"]


def serving_hears_of_an_incident() -> bool:
    log = started()
    log.tell(incident())
    return log.routes[-1].quarantine == (RULE,)


def a_window_counts_once_and_none_is_missed() -> bool:
    return _a_repeat_counts_once() and _a_hole_is_seen()


def evidence_covers_every_partition() -> bool:
    cut = Windows()
    _, signals = folded(State(), known(), cut.predictions(0, 10), cut.rollout(100))
    (told,) = [signal for signal in signals if isinstance(signal, EvidenceGathered)]
    return sorted(told.covers) == ["labels-0", "predictions-0"]


def a_closed_period_is_told_once() -> bool:
    cut = Windows()
    items = [cut.predictions(0, 10), cut.labels(0, 10, at=2), cut.labels(0, 1, at=3)]
    _, signals = folded(State(), known(), *items, *(cut.labels(3, 1, at=4) for _ in range(60)))
    told = [signal.period for signal in signals if isinstance(signal, LossesGathered)]
    return len(told) == len(set(told))


def _a_repeat_counts_once() -> bool:
    cut = Windows()
    one = cut.predictions(0, 10)
    state, _ = folded(State(), known(), one, one)
    return state.models["m"].rows == {"predictions": 10}


def _a_hole_is_seen() -> bool:
    cut = Windows()
    first, _, third = (cut.predictions(0, 10) for _ in range(3))
    try:
        folded(State(), known(), first, third)
    except Hole:
        return True
    return False


def failed(run: str, attempt: int) -> TrainingFailed:
    """Infrastructure."""
    return TrainingFailed(
        id=f"{run}-{attempt}", at=EVENT_T0, model="m", actor="trainer", reason="", run=run, attempt=attempt, retryable=True
    )


def incident() -> QualityIncident:
    """On rows that any candidate was trained on."""
    return QualityIncident(
        id="i", at=EVENT_T0, model="m", actor="agents", reason="", release="first", rule=RULE, closed=False
    )  # fmt: skip


def decision(kind: str, run: str, attempt: int = 1) -> Decided:
    """With its order, where it has one."""
    order = TrainingOrder(run=run, attempt=attempt, champion="c", policy=Policy(), as_of=EVENT_T0, seed=1, cause="x")
    return Decided(
        id="d", at=EVENT_T0, model="m", kind=kind, why="", run=run, cause="x", partition=0, offset=0, core="1",
        order=order if kind in ("TrainingStarted", "TrainingRetried") else None,
    )  # fmt: skip


RULES: Final[dict[str, Callable[[], bool]]] = {
    "two_runs_at_once": one_run_at_a_time,
    "budget_not_counted": the_budget_is_kept,
    "run_without_deadline": a_run_past_its_deadline_is_given_up,
    "older_attempt_counts": the_failure_of_an_older_attempt_is_ignored,
    "result_of_another_run_counts": the_result_of_another_run_is_ignored,
    "period_measured_twice": a_period_is_measured_once,
    "impossible_losses_pass": losses_fit_their_rows,
    "retry_never_run": another_attempt_is_run,
    "older_end_closes_the_run": the_end_of_an_older_run_closes_no_other,
    "approval_of_another_question": an_approval_answers_its_own_question,
    "spoilt_candidate_stays": a_candidate_of_spoilt_rows_goes,
    "incident_without_a_route": serving_hears_of_an_incident,
    "windows_unchained": a_window_counts_once_and_none_is_missed,
    "covers_one_partition": evidence_covers_every_partition,
    "closed_period_opens_again": a_closed_period_is_told_once,
}
