"""Losses and alarms in, what is bought out: staleness weighed against its price, and what a policy's autonomy makes of it."""

from __future__ import annotations

import dataclasses
import math

import msgspec

from drift import joined_losses, staleness
from drift.joined_losses import Measured
from drift.staleness import Assessment, MeasureChanged, WorldMoved
from homeostat.account import accounted
from homeostat.model_state import ABOUT_BUYING, ABOUT_CHALLENGER, ABOUT_EITHER, ABOUT_TRAINING, Arrival, Draft, ModelState, Step
from homeostat.training_flow import want
from streams.events import UNIT, ChallengerScored, DriftDetected, LossesGathered


def losses_gathered(state: ModelState, record: LossesGathered, arrival: Arrival) -> Step:
    """Fold the champion's losses of one period; buy a training when it pays."""
    if record.release in state.rollout.known_releases() - {state.rollout.champion}:
        return state, ()  # of a release that is tried, or served before: nothing is decided on those
    refusal = _unusable(state, record)
    if refusal:
        return state, (Draft(kind="Refused", why=refusal, release=record.release),)
    state = msgspec.structs.replace(state, last_period=record.period)
    if record.period == staleness.period_of(state.registered_at, state.policy.staleness):
        # Fewer rows than usual would set the price of a training, in periods, for weeks.
        return state, (Draft(kind="PeriodSkipped", why="the model was registered within this period", release=record.release),)
    losses, measured = joined_losses.gathered(state.losses, record, state.policy.challenger)
    return _measured(msgspec.structs.replace(state, losses=losses), measured, arrival)


def challenger_scored(state: ModelState, record: ChallengerScored, arrival: Arrival) -> Step:
    """Fold what the challenger lost beside the champion on the rows of one lake file."""
    if wrong := _other_length(state, record):
        return state, (Draft(kind="Refused", why=wrong),)
    newest = staleness.period_of(record.at, state.policy.staleness)
    if refusal := joined_losses.refusal(state.losses, record, newest=newest):
        return state, (Draft(kind="Refused", why=refusal),)
    losses, measured = joined_losses.scored(state.losses, record, state.policy.challenger)
    return _measured(msgspec.structs.replace(state, losses=losses), measured, arrival)


def drift_detected(state: ModelState, record: DriftDetected, arrival: Arrival) -> Step:
    """A drift alarm explains. It ends the waiting after refusals; and it buys, where a policy has nothing better to go by."""
    numbers = {"statistic": record.statistic, "threshold": record.threshold, "size": record.size}
    said = Draft(
        kind="DriftNoted",
        why=f"{record.feature} left its reference: {record.reason}",
        numbers=numbers,
        release=record.release,
    )
    if record.release != state.rollout.champion:
        return state, (said,)
    if state.policy.staleness.trigger != "drift":
        return accounted(state, WorldMoved()), (said,)
    if against := _against_an_alarm(state):
        return state, (dataclasses.replace(said, why=f"{said.why}; nothing is bought: {against}"),)
    why = f"by a drift alarm ({record.feature}), not by measured staleness: what it is worth is not known"
    state, more = _bought(state, arrival, None)
    return state, (said, Draft(kind="TrainingBought", why=why, numbers=numbers, release=record.release), *more)


def _measured(state: ModelState, measured: tuple[Measured, ...], arrival: Arrival) -> Step:
    """Weigh staleness against its price, period by period; buy a training when it pays."""
    drafts: list[Draft] = []
    for one in measured:
        closed = one.closed
        if one.changed:
            # Also at a period that is passed over: those behind it are measured against something else.
            state = accounted(state, MeasureChanged(frozen=not one.own and state.rollout.champion in state.frozen))
        if closed.release != state.rollout.champion:
            why = f"period {closed.period} is of release {closed.release[:12]}, which serves no more"
            why = f"{one.changed}; {why}" if one.changed else why
            drafts.append(Draft(kind="PeriodSkipped", why=why, release=closed.release))
            continue
        state = msgspec.structs.replace(state, watermark=max(state.watermark, closed.at))
        losses = dataclasses.replace(one.losses, offered=one.losses.offered and not state.frozen_in_vain)
        account, assessments = staleness.advance(state.staleness, losses, state.policy.staleness)
        state = msgspec.structs.replace(state, staleness=account)
        for assessment in assessments:
            numbers = {
                **assessment.numbers,
                "period": float(closed.period),
                "rows": float(closed.n),
                "loss": _ratio(closed.loss, closed.n),
                "difference": one.losses.difference,
                "compared_rows": float(one.losses.rows),
            }
            why = f"{one.changed}; {assessment.why}" if one.changed else assessment.why
            drafts.append(Draft(kind="StalenessMeasured", why=why, numbers=numbers, release=closed.release))
            if assessment.buy:
                kind = "ChallengerWanted" if assessment.option == "challenger" else "TrainingBought"
                drafts.append(Draft(kind=kind, why=assessment.why, numbers=assessment.numbers, release=closed.release))
                state, more = _bought(state, arrival, assessment)
                drafts += more
    return state, tuple(drafts)


def _against_an_alarm(state: ModelState) -> str:
    """Why a drift alarm buys nothing now, where the policy lets alarms buy; '' when it does."""
    if not math.isfinite(state.policy.staleness.price_errors):
        return "a training costs more than anything"
    if state.staleness.running:
        return "a training is under way"
    return f"{state.staleness.refusals} refused in a row: waiting {state.staleness.wait} periods" if state.staleness.wait else ""


def _bought(state: ModelState, arrival: Arrival, assessment: Assessment | None) -> Step:
    """What the policy's autonomy makes of what pays. None: a training, on a drift alarm."""
    match state.policy.autonomy:
        case "observe":
            return state, (Draft(kind="TrainingRefused", why="autonomy observe: it is said, and nothing is bought"),)
        case "suggest" if not state.rollout.paused and not state.job.run:
            if open_question := next((one for one in state.asked if one.what in ABOUT_BUYING), None):
                why = f"waits for a person's word on decision {open_question.decision}"
                return state, (Draft(kind="TrainingRefused", why=why),)
            asks = _asks(assessment)
            return state, (Draft(kind="ApprovalWanted", why=ABOUT_BUYING[asks], asks=asks),)
        case _ if assessment is None:
            return want(state, arrival, automatic=True)
        case _:
            challenger = assessment.option == "challenger"
            return want(state, arrival, automatic=True, challenger=challenger, trains=assessment.training_pays)


def _asks(assessment: Assessment | None) -> str:
    if assessment is None or assessment.option != "challenger":
        return ABOUT_TRAINING
    return ABOUT_EITHER if assessment.training_pays else ABOUT_CHALLENGER


def _unusable(state: ModelState, record: LossesGathered) -> str:
    if record.release != state.rollout.champion:
        return f"losses of release {record.release[:12]}, which is not the champion"
    if wrong := _other_length(state, record):
        return wrong
    if record.period > staleness.period_of(record.at, state.policy.staleness):
        return f"period {record.period} lies beyond the time at which it is told, {record.at.isoformat()}"
    if record.period <= state.last_period:
        return f"period {record.period} was measured before"
    bounded = 0 <= record.loss <= record.n * UNIT and 0 <= record.loss_squared <= record.n * UNIT
    if record.n < 0 or not bounded:
        return f"impossible sums: n={record.n}, loss={record.loss}, squared={record.loss_squared}"
    return ""


def _other_length(state: ModelState, record: LossesGathered | ChallengerScored) -> str:
    """Why its periods are not the policy's; '' when they are, or it does not say."""
    seconds = int(state.policy.staleness.period.total_seconds())
    if record.period_seconds in (0, seconds):
        return ""
    return f"its periods have {record.period_seconds} s, the policy's {seconds}"


def _ratio(units: int, rows: int) -> float:
    return units / UNIT / rows if rows else 0.0
