"""Losses and requests in, trainings out: staleness, autonomy, admission and job, composed.

What is bought is first sought among the releases that served before (recall). A person may hold the model, or want to be
asked; a request by hand is a person's word already.
"""

from __future__ import annotations

import zlib

import msgspec

from drift import staleness
from drift.staleness import PeriodMeasured, RunRefused, TrainingTaken
from homeostat.account import accounted
from homeostat.model_state import ABOUT_TRAINING, MADE_LIMIT, Arrival, Draft, Made, ModelState, Step
from homeostat.rollout_flow import candidate_ready
from serving.rollout import Rollout
from streams.events import (
    UNIT,
    LossesGathered,
    RecallFinished,
    RetrainRequested,
    TrainingFailed,
    TrainingFinished,
    TrainingOrder,
)
from streams.policy import Policy
from trainer import admission, job
from trainer.admission import Start, Wanted
from trainer.job import ClockRead, Ended, Ignored, Job, Ordered, Submitted


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
            state, more = _bought(state, arrival)
            drafts.extend(more)
    return state, tuple(drafts)


def agreed(state: ModelState, arrival: Arrival) -> Step:
    """A person agrees to a training that was asked for."""
    return _want(state, arrival, automatic=True)


def retrain_requested(state: ModelState, record: RetrainRequested, arrival: Arrival) -> Step:
    """A person, a schedule or an alert asks for a training."""
    if record.release and record.release != state.rollout.champion:
        why = f"the request speaks of release {record.release[:12]}, which no longer serves"
        return state, (Draft(kind="TrainingRefused", why=why, release=record.release),)
    if record.window_rows < 0:
        return state, (Draft(kind="TrainingRefused", why=f"window_rows must be at least 0, got {record.window_rows}"),)
    return _want(state, arrival, automatic=False, window_rows=record.window_rows)


def training_ended(state: ModelState, record: RecallFinished | TrainingFinished | TrainingFailed, arrival: Arrival) -> Step:
    """A result from the trainer."""
    numbers = {} if isinstance(record, TrainingFailed) else dict(record.numbers)
    return _job_step(state, record, arrival, numbers)


def clock_read(state: ModelState, arrival: Arrival) -> Step:
    """Controller time went on: a run may be past its deadline."""
    return _job_step(state, ClockRead(), arrival, {})


def _unusable(state: ModelState, record: LossesGathered) -> str:
    if record.release != state.rollout.champion:
        return f"losses of release {record.release[:12]}, which is not the champion"
    if record.period > staleness.period_of(record.at, state.policy.staleness):
        return f"period {record.period} lies beyond the time at which it is told, {record.at.isoformat()}"
    if record.period <= state.last_period:
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


def _bought(state: ModelState, arrival: Arrival) -> Step:
    """What the policy's autonomy makes of a training that pays."""
    match state.policy.autonomy:
        case "observe":
            return state, (Draft(kind="TrainingRefused", why="autonomy observe: it is said, and nothing is bought"),)
        case "suggest" if not state.rollout.paused and not state.job.run:
            if open_question := next((one for one in state.asked if one.what == ABOUT_TRAINING), None):
                why = f"waits for a person's word on decision {open_question.decision}"
                return state, (Draft(kind="TrainingRefused", why=why),)
            return state, (Draft(kind="ApprovalWanted", why="a training pays; may it be bought?", asks=ABOUT_TRAINING),)
        case _:
            return _want(state, arrival, automatic=True)


def _want(state: ModelState, arrival: Arrival, *, automatic: bool, window_rows: int = 0) -> Step:
    if state.rollout.paused:
        return state, (Draft(kind="TrainingRefused", why="a person holds the model; `resume` it first"),)
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
        policy=_with_window(state.policy, window_rows),
        as_of=as_of,
        # Not from the run's id: that rests on digests of releases, hence on clocks in run cards.
        seed=zlib.crc32(f"{state.policy.training.seed}/{state.model}/{state.runs}".encode()),
        cause=arrival.record.id,
        recall=_archived(state) if automatic else (),
        quarantine=state.incidents,
        accepted=state.accepted,
        released=state.released,
    )
    running, commands = job.advance(state.job, Submitted(order), arrival.at, state.policy.admission)
    state = msgspec.structs.replace(accounted(state, TrainingTaken()), job=running, runs=state.runs + 1)
    return state, tuple(_ordered(command.order, arrival.record.reason) for command in commands if isinstance(command, Ordered))


def _with_window(policy: Policy, rows: int) -> Policy:
    if not rows:
        return policy
    return msgspec.structs.replace(policy, training=msgspec.structs.replace(policy.training, window_rows=rows))


def _archived(state: ModelState) -> tuple[str, ...]:
    """Releases to try before a training is bought, those that served last first."""
    policy = state.policy.recall
    left_out = (state.rollout.champion, *state.recalled_in_vain)
    others = [release for release in reversed(state.rollout.served) if release not in left_out]
    return tuple(others[: policy.releases]) if policy.enabled else ()


def _ordered(order: TrainingOrder, why: str) -> Draft:
    if order.recall:
        why = f"{why}; {len(order.recall)} releases that served before are tried first"
        return Draft(kind="RecallStarted", why=why, run=order.run, order=order)
    return Draft(kind="TrainingStarted", why=why, run=order.run, order=order)


def _job_step(state: ModelState, event: job.Event, arrival: Arrival, numbers: dict[str, float]) -> Step:
    before = state.job.order
    running, commands = job.advance(state.job, event, arrival.at, state.policy.admission)
    state = msgspec.structs.replace(state, job=running)
    drafts: list[Draft] = []
    for command in commands:
        match command:
            case Ordered() if state.rollout.paused:
                state, more = _held_back(state, command.order)
                drafts.extend(more)
            case Ordered():
                drafts.append(_next_order(before, command.order, event, numbers))
            case Ignored():
                drafts.append(Draft(kind="Refused", why=command.why))
            case Ended():
                assert before is not None  # only a run in flight ends
                state, more = _run_ended(state, before, command, arrival, numbers)
                drafts.extend(more)
    return state, tuple(drafts)


def _held_back(state: ModelState, order: TrainingOrder) -> Step:
    """A person holds the model: what would go on ends here, and may be bought again afterwards."""
    why = "a person holds the model: nothing is trained until `resume`"
    state = msgspec.structs.replace(accounted(state, RunRefused()), job=Job())
    return state, (Draft(kind="TrainingEnded", why=why, run=order.run),)


def _next_order(before: TrainingOrder | None, order: TrainingOrder, event: job.Event, numbers: dict[str, float]) -> Draft:
    if before is not None and before.recall:
        reason = event.reason if isinstance(event, RecallFinished | TrainingFailed) else "no answer in time"
        return Draft(kind="TrainingStarted", why=f"nothing to recall: {reason}", run=order.run, order=order, numbers=numbers)
    why = f"attempt {order.attempt - 1} gave no result"
    return Draft(kind="TrainingRetried", why=why, run=order.run, order=order)


def _run_ended(state: ModelState, order: TrainingOrder, ended: Ended, arrival: Arrival, numbers: dict[str, float]) -> Step:
    state = msgspec.structs.replace(state, admission=admission.run_ended(state.admission, failed=ended.failed))
    if ended.recalled:
        spared = admission.spared(state.admission)
        state = msgspec.structs.replace(state, admission=spared, recall_run=ended.run)
    said = Draft(
        kind="Recalled" if ended.recalled else "TrainingEnded",
        why=ended.why,
        numbers=numbers,
        run=ended.run,
        release=ended.candidate or ended.made,
    )
    spoilt = ""
    if ended.made:
        made = Made(release=ended.made, run=ended.run, as_of=order.as_of, known=tuple(rule.incident for rule in order.quarantine))
        state = msgspec.structs.replace(state, made=_remembered((*state.made, made), state.rollout))
        spoilt = spoilt_by(state, made)
    if not ended.candidate:
        return accounted(state, RunRefused()), (said,)
    if spoilt:
        rejected = Draft(kind="CandidateRejected", why=spoilt, run=ended.run, release=ended.candidate)
        return accounted(state, RunRefused()), (said, rejected)
    state, more = candidate_ready(state, ended.candidate, ended.run, arrival)
    return state, (said, *more)


def _remembered(made: tuple[Made, ...], rollout: Rollout) -> tuple[Made, ...]:
    """The newest, and always who is tried or waits: those have to be looked at again when a data bug is called."""
    kept = {rollout.candidate, rollout.waiting}
    return tuple(one for place, one in enumerate(made) if place >= len(made) - MADE_LIMIT or one.release in kept)


def spoilt_by(state: ModelState, made: Made) -> str:
    """Why a candidate may not be tried: its dataset was built before a data bug in it was recognised; '' if it was not."""
    for rule in state.incidents:
        if rule.incident not in made.known and rule.since < made.as_of:
            return (
                f"its dataset was built before incident {rule.incident} was recognised: {rule.feature} is spoilt "
                f"({rule.kind}) since {rule.since.isoformat()}"
            )
    return ""
