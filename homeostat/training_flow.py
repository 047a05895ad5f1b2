"""Losses and requests in, trainings out: staleness, admission and job, composed."""

from __future__ import annotations

import zlib

import msgspec

from drift import staleness
from drift.staleness import PeriodMeasured, RunRefused, TrainingTaken
from homeostat.model_state import Arrival, Draft, ModelState, Step
from homeostat.rollout_flow import candidate_ready
from streams.events import UNIT, LossesGathered, RetrainRequested, TrainingFailed, TrainingFinished, TrainingOrder
from trainer import admission, job
from trainer.admission import Start, Wanted
from trainer.job import ClockRead, Ended, Ignored, Ordered, Submitted


def losses_gathered(state: ModelState, record: LossesGathered, arrival: Arrival) -> Step:
    """Fold the champion's losses of one period; buy a training when it pays."""
    if record.release in state.rollout.known_releases() - {state.rollout.champion}:
        return state, ()  # of a release that is tried, or served before: nothing is decided on those
    refusal = _unusable(state, record)
    if refusal:
        return state, (Draft(kind="Refused", why=refusal, release=record.release),)
    state = msgspec.structs.replace(
        state,
        watermark=max(state.watermark, record.at),
        last_period=record.period,
        period_release=record.release,
    )
    if record.period == staleness.period_of(state.registered_at, state.policy.staleness):
        # Fewer rows than usual would set the price of a training, in periods, for weeks.
        return state, (Draft(kind="PeriodSkipped", why="the model was registered within this period", release=record.release),)
    account, assessments = staleness.advance(state.staleness, _measurement(record), state.policy.staleness)
    state = msgspec.structs.replace(state, staleness=account)
    drafts: list[Draft] = []
    for assessment in assessments:
        numbers = {
            **assessment.numbers,
            "period": float(record.period),
            "rows": float(record.n),
            "loss": _ratio(record.loss, record.n),
        }
        drafts.append(Draft(kind="StalenessMeasured", why=assessment.why, numbers=numbers, release=record.release))
        if assessment.buy:
            drafts.append(Draft(kind="TrainingBought", why=assessment.why, numbers=assessment.numbers, release=record.release))
            state, more = _want(state, arrival, automatic=True)
            drafts.extend(more)
    return state, tuple(drafts)


def retrain_requested(state: ModelState, record: RetrainRequested, arrival: Arrival) -> Step:
    """A person, a schedule or an alert asks for a training."""
    if record.release and record.release != state.rollout.champion:
        why = f"the request speaks of release {record.release[:12]}, which no longer serves"
        return state, (Draft(kind="TrainingRefused", why=why, release=record.release),)
    return _want(state, arrival, automatic=False)


def training_ended(state: ModelState, record: TrainingFinished | TrainingFailed, arrival: Arrival) -> Step:
    """A result from the trainer."""
    numbers = dict(record.numbers) if isinstance(record, TrainingFinished) else {}
    return _job_step(state, record, arrival, numbers)


def clock_read(state: ModelState, arrival: Arrival) -> Step:
    """Controller time went on: a run may be past its deadline."""
    return _job_step(state, ClockRead(), arrival, {})


def _unusable(state: ModelState, record: LossesGathered) -> str:
    if record.release != state.rollout.champion:
        return f"losses of release {record.release[:12]}, which is not the champion"
    if record.release == state.period_release and record.period <= state.last_period:
        return f"period {record.period} was measured before"
    bounded = 0 <= record.loss <= record.n * UNIT and 0 <= record.loss_squared <= record.n * UNIT
    if record.n < 0 or not bounded:
        return f"impossible sums: n={record.n}, loss={record.loss}, squared={record.loss_squared}"
    return ""


def _measurement(record: LossesGathered) -> PeriodMeasured:
    mean = _ratio(record.loss, record.n)
    variance = max(_ratio(record.loss_squared, record.n) - mean * mean, 0.0)
    return PeriodMeasured(rows=record.n, difference=mean, row_variance=variance)


def _ratio(units: int, rows: int) -> float:
    return units / UNIT / rows if rows else 0.0


def _want(state: ModelState, arrival: Arrival, *, automatic: bool) -> Step:
    # A person means everything known by now; the rule, the rows whose losses it has measured.
    as_of = state.watermark if automatic else max(state.watermark, arrival.record.at)
    want = Wanted(
        model=state.model,
        cause=arrival.record.id,
        at=as_of,
        automatic=automatic,
        in_flight=state.job.run,
    )
    admitted, answer = admission.advance(state.admission, want, state.policy.admission)
    state = msgspec.structs.replace(state, admission=admitted)
    if not isinstance(answer, Start):
        return state, (Draft(kind="TrainingRefused", why=answer.why, numbers=answer.numbers, run=answer.joined),)
    order = TrainingOrder(
        run=answer.run,
        attempt=1,
        champion=state.rollout.champion,
        policy=state.policy,
        as_of=as_of,
        # Not from the run's id: that rests on digests of releases, hence on clocks in run cards.
        seed=zlib.crc32(f"{state.policy.training.seed}/{state.model}/{state.runs}".encode()),
        cause=arrival.record.id,
    )
    account, _ = staleness.advance(state.staleness, TrainingTaken(), state.policy.staleness)
    running, commands = job.advance(state.job, Submitted(order), arrival.at, state.policy.admission)
    state = msgspec.structs.replace(state, staleness=account, job=running, runs=state.runs + 1)
    return state, tuple(
        Draft(kind="TrainingStarted", why=arrival.record.reason, run=command.order.run, order=command.order)
        for command in commands
        if isinstance(command, Ordered)
    )


def _job_step(state: ModelState, event: job.Event, arrival: Arrival, numbers: dict[str, float]) -> Step:
    running, commands = job.advance(state.job, event, arrival.at, state.policy.admission)
    state = msgspec.structs.replace(state, job=running)
    drafts: list[Draft] = []
    for command in commands:
        match command:
            case Ordered():
                why = f"attempt {command.order.attempt - 1} gave no result"
                drafts.append(Draft(kind="TrainingRetried", why=why, run=command.order.run, order=command.order))
            case Ignored():
                drafts.append(Draft(kind="Refused", why=command.why))
            case Ended():
                state, more = _run_ended(state, command, arrival, numbers)
                drafts.extend(more)
    return state, tuple(drafts)


def _run_ended(state: ModelState, ended: Ended, arrival: Arrival, numbers: dict[str, float]) -> Step:
    draft = Draft(kind="TrainingEnded", why=ended.why, numbers=numbers, run=ended.run, release=ended.candidate)
    state = msgspec.structs.replace(state, admission=admission.run_ended(state.admission, failed=ended.failed))
    if not ended.candidate:
        account, _ = staleness.advance(state.staleness, RunRefused(), state.policy.staleness)
        return msgspec.structs.replace(state, staleness=account), (draft,)
    state, more = candidate_ready(state, ended.candidate, ended.run, arrival)
    return state, (draft, *more)
