"""Wants in, trainings out: admission and job, composed.

What is bought is first sought among the releases that served before (recall). A person may hold the model; a request by hand is a
person's word already.
"""

from __future__ import annotations

import zlib

import msgspec

from drift.staleness import RunRefused, TrainingTaken
from homeostat.account import accounted
from homeostat.model_state import ABOUT_CHALLENGER, ABOUT_EITHER, MADE_LIMIT, Arrival, Draft, Made, ModelState, Step
from homeostat.rollout_flow import candidate_ready
from serving.rollout import Rollout
from streams.events import (
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


def agreed(state: ModelState, what: str, arrival: Arrival) -> Step:
    """A person agrees to what was asked for: a training, or to let the challenger in, or either."""
    return want(
        state,
        arrival,
        automatic=True,
        challenger=what in (ABOUT_CHALLENGER, ABOUT_EITHER) and _offers_challenger(state),
        trains=what != ABOUT_CHALLENGER,
    )


def retrain_requested(state: ModelState, record: RetrainRequested, arrival: Arrival) -> Step:
    """A person, a schedule or an alert asks for a training."""
    if record.release and record.release != state.rollout.champion:
        why = f"the request speaks of release {record.release[:12]}, which no longer serves"
        return state, (Draft(kind="TrainingRefused", why=why, release=record.release),)
    if record.window_rows < 0:
        return state, (Draft(kind="TrainingRefused", why=f"window_rows must be at least 0, got {record.window_rows}"),)
    return want(state, arrival, automatic=False, window_rows=record.window_rows)


def training_ended(state: ModelState, record: RecallFinished | TrainingFinished | TrainingFailed, arrival: Arrival) -> Step:
    """A result from the trainer."""
    numbers = {} if isinstance(record, TrainingFailed) else dict(record.numbers)
    return _job_step(state, record, arrival, numbers)


def clock_read(state: ModelState, arrival: Arrival) -> Step:
    """Controller time went on: a run may be past its deadline."""
    return _job_step(state, ClockRead(), arrival, {})


def want(
    state: ModelState,
    arrival: Arrival,
    *,
    automatic: bool,
    window_rows: int = 0,
    challenger: bool = False,
    trains: bool = True,
) -> Step:
    """Start a run if nothing stands against it. `challenger`: freeze that first; `trains`: where that is not let through, train."""
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
        challenger=challenger,
        training=trains,
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


def _offers_challenger(state: ModelState) -> bool:
    policy = state.policy.challenger
    return policy.enabled and policy.candidate and not state.losses.own and not state.frozen_in_vain


def _ordered(order: TrainingOrder, why: str) -> Draft:
    if order.looks_first:
        kinds = [f"{len(order.recall)} releases that served before"] if order.recall else []
        kinds += ["the challenger, frozen"] if order.challenger else []
        why = f"{why}; tried first: {' and '.join(kinds)}"
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
                if before is not None and before.looks_first:
                    state = msgspec.structs.replace(state, admission=admission.spared(state.admission))
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
    if before is not None and before.looks_first:
        reason = event.reason if isinstance(event, RecallFinished | TrainingFailed) else "no answer in time"
        return Draft(kind="TrainingStarted", why=f"nothing to recall: {reason}", run=order.run, order=order, numbers=numbers)
    why = f"attempt {order.attempt - 1} gave no result"
    return Draft(kind="TrainingRetried", why=why, run=order.run, order=order)


def _run_ended(state: ModelState, order: TrainingOrder, ended: Ended, arrival: Arrival, numbers: dict[str, float]) -> Step:
    trained = not order.looks_first
    admitted = admission.run_ended(state.admission, failed=ended.failed) if trained else admission.spared(state.admission)
    state = msgspec.structs.replace(state, admission=admitted)
    if ended.recalled:
        state = msgspec.structs.replace(state, recall_run=ended.run)
    if ended.frozen:
        within_reach = state.rollout.known_releases() | {one.release for one in state.made}
        kept = tuple(release for release in state.frozen if release in within_reach)
        state = msgspec.structs.replace(state, frozen=(*kept, ended.candidate))
    said = Draft(
        kind=_kind_of(ended),
        why=ended.why,
        numbers=numbers,
        run=ended.run,
        release=ended.candidate or ended.made,
    )
    spoilt = ""
    if ended.made:
        as_of = max(order.as_of, ended.learnt_until or order.as_of)
        known = tuple(rule.incident for rule in order.quarantine)
        made = Made(release=ended.made, run=ended.run, as_of=as_of, known=known)
        state = msgspec.structs.replace(state, made=_remembered((*state.made, made), state.rollout))
        spoilt = spoilt_by(state, made)
    if not ended.candidate:
        # Whichever of the two came to nothing, the other has its turn.
        state = msgspec.structs.replace(state, frozen_in_vain=order.challenger)
        return accounted(state, RunRefused()), (said,)
    if spoilt:
        state = msgspec.structs.replace(state, frozen_in_vain=ended.frozen)
        rejected = Draft(kind="CandidateRejected", why=spoilt, run=ended.run, release=ended.candidate)
        return accounted(state, RunRefused()), (said, rejected)
    state, more = candidate_ready(state, ended.candidate, ended.run, arrival)
    return state, (said, *more)


def _kind_of(ended: Ended) -> str:
    if ended.frozen:
        return "ChallengerFrozen"
    return "Recalled" if ended.recalled else "TrainingEnded"


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
