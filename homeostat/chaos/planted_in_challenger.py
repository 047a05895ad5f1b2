"""Bugs of what is measured against the challenger, and of challengers that are frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from drift import joined_losses, staleness
from drift.joined_losses import JoinedLosses, Measured, Scores
from drift.staleness import Assessment, ChampionReplaced, MeasureChanged, PeriodMeasured, RunRefused, Staleness
from homeostat import rollout_flow
from homeostat.chaos.planting import Planted, replaced
from homeostat.model_state import Arrival, ModelState
from homeostat.model_state import Step as Stepped
from serving.canary import CandidateReady
from serving.rollout import Shift
from streams.events import ChallengerScored, RecallFinished, TrainingOrder
from streams.policy import ChallengerPolicy, StalenessPolicy
from trainer import admission, job
from trainer.admission import Admission
from trainer.job import Command, Job

Joined = tuple[JoinedLosses, tuple[Measured, ...]]
Worked = tuple[Job, tuple[Command, ...]]
Accounted = tuple[Staleness, tuple[Assessment, ...]]


def _repeated_scores_count(sound: Callable[..., str]) -> Callable[..., str]:
    return lambda state, record, *, newest: sound(msgspec.structs.replace(state, files={}), record, newest=newest)


def _impossible_scores_pass(sound: Callable[..., str]) -> Callable[..., str]:
    return lambda state, record, *, newest: sound(state, msgspec.structs.replace(record, scores=()), newest=newest)


def _scores_of_any_release(sound: Callable[..., Joined]) -> Callable[..., Joined]:
    def scored(state: JoinedLosses, record: ChallengerScored, policy: ChallengerPolicy) -> Joined:
        release = state.waiting[-1].release if state.waiting else record.scores[-1].release
        scores = tuple(msgspec.structs.replace(score, release=release) for score in record.scores)
        return sound(state, msgspec.structs.replace(record, scores=scores), policy)

    return scored


def _first_file_is_the_period(sound: Callable[..., Joined]) -> Callable[..., Joined]:
    def measured(state: JoinedLosses, policy: ChallengerPolicy) -> Joined:
        rows = {closed.period: closed.n for closed in state.waiting}

        def whole(period: int, scores: Scores) -> Scores:
            return msgspec.structs.replace(scores, labelled=max(scores.labelled, rows.get(period, 0)))

        scores = {period: {one: whole(period, told) for one, told in by.items()} for period, by in state.scores.items()}
        after, found = sound(msgspec.structs.replace(state, scores=scores), policy)
        kept = {period: state.scores[period] for period in after.scores}
        return msgspec.structs.replace(after, scores=kept), found

    return measured


def _waits_for_ever(sound: Callable[..., Joined]) -> Callable[..., Joined]:
    def measured(state: JoinedLosses, policy: ChallengerPolicy) -> Joined:
        for closed in state.waiting[:1] if policy.enabled and not state.own else ():
            if state.scores.get(closed.period, {}).get(closed.release, Scores()).labelled < closed.n:
                return state, ()
        return sound(state, policy)

    return measured


def _silence_passed_over(sound: Callable[..., Joined]) -> Callable[..., Joined]:
    def measured(state: JoinedLosses, policy: ChallengerPolicy) -> Joined:
        after, found = sound(state, policy)
        if not policy.enabled or state.own or not after.own:
            return after, found
        nothing = PeriodMeasured(rows=0, difference=0.0, row_variance=0.0)
        empty = tuple(dataclasses.replace(one, losses=nothing, own=False, changed="") for one in found)
        return msgspec.structs.replace(after, own=False, silent=0), empty

    return measured


def _measures_mixed(sound: Callable[..., Accounted]) -> Callable[..., Accounted]:
    def advance(state: Staleness, event: staleness.Event, policy: StalenessPolicy) -> Accounted:
        return (state, ()) if isinstance(event, MeasureChanged) else sound(state, event, policy)

    return advance


def _frozen_champion_taken_for_trained(sound: Callable[..., Accounted]) -> Callable[..., Accounted]:
    def advance(state: Staleness, event: staleness.Event, policy: StalenessPolicy) -> Accounted:
        if isinstance(event, ChampionReplaced):
            event = ChampionReplaced()
        elif isinstance(event, RunRefused):
            event = RunRefused()
        return sound(state, event, policy)

    return advance


def _wanted_again_at_once(sound: Callable[..., ModelState]) -> Callable[..., ModelState]:
    def remembered(state: ModelState, shift: Shift) -> ModelState:
        return msgspec.structs.replace(sound(state, shift), frozen_in_vain=False)

    return remembered


def _frozen_skips_its_shadow(sound: Callable[..., Stepped]) -> Callable[..., Stepped]:
    def candidate_ready(state: ModelState, release: str, run: str, arrival: Arrival) -> Stepped:
        if release not in state.frozen:
            return sound(state, release, run, arrival)
        ready = CandidateReady(release=release, run=run, at=arrival.at, straight=True)
        return rollout_flow.rollout_event(state, ready, arrival)

    return candidate_ready


def _trains_though_it_does_not_pay(sound: Callable[..., Worked]) -> Callable[..., Worked]:
    def on_to_training(order: TrainingOrder, why: str, now: datetime, *, attempt: int) -> Worked:
        return sound(msgspec.structs.replace(order, training=True), why, now, attempt=attempt)

    return on_to_training


def _frozen_without_being_asked(sound: Callable[..., Worked]) -> Callable[..., Worked]:
    def recalled(state: Job, event: RecallFinished, now: datetime) -> Worked:
        order = state.order
        asked = msgspec.structs.replace(order, challenger=order.looks_first) if order is not None else None
        return sound(msgspec.structs.replace(state, order=asked), event, now)

    return recalled


def _frozen_counts_as_a_training(_: object) -> Callable[[Admission], Admission]:
    return lambda state: state


IN_CHALLENGER: Final = (
    Planted(
        name="repeated_scores_count",
        what="What the challenger told of a stretch of labels counts again when it is told again, as after every restart.",
        plant=partial(replaced, joined_losses, "refusal", _repeated_scores_count),
    ),
    Planted(
        name="impossible_scores_pass",
        what="Nobody checks that the challenger's sums fit their number of rows: one absurd record buys a training.",
        plant=partial(replaced, joined_losses, "refusal", _impossible_scores_pass),
    ),
    Planted(
        name="scores_of_any_release",
        what="The challenger's sums are kept by period only: what it won over an earlier release counts against the one that serves.",
        plant=partial(replaced, joined_losses, "scored", _scores_of_any_release),
    ),
    Planted(
        name="first_file_is_the_period",
        what="A period is measured as soon as one lake file has spoken of it: the rows of its other files never count.",
        plant=partial(replaced, joined_losses, "_measured", _first_file_is_the_period),
    ),
    Planted(
        name="waits_for_ever",
        what="A closed period waits for the challenger's last row without a bound: one that was left out stops the measuring.",
        plant=partial(replaced, joined_losses, "_measured", _waits_for_ever),
    ),
    Planted(
        name="silence_passed_over",
        what="Periods without a word of the challenger are not counted: where it died, staleness is never measured again.",
        plant=partial(replaced, joined_losses, "_measured", _silence_passed_over),
    ),
    Planted(
        name="measures_mixed",
        what="The account goes on when something else is measured: the champion's loss passes for a sudden difference.",
        plant=partial(replaced, staleness, "advance", _measures_mixed),
    ),
    Planted(
        name="frozen_champion_taken_for_trained",
        what="The account does not learn that a frozen challenger serves: it is compared with the wrong kind.",
        plant=partial(replaced, staleness, "advance", _frozen_champion_taken_for_trained),
    ),
    Planted(
        name="wanted_again_at_once",
        what="That a frozen challenger came to nothing is forgotten: it is frozen again and again, and nothing is trained.",
        plant=partial(replaced, rollout_flow, "_recall_remembered", _wanted_again_at_once),
    ),
    Planted(
        name="frozen_skips_its_shadow",
        what="A frozen challenger answers at once, since it was compared for long: what was exported is tried by nobody.",
        plant=partial(replaced, rollout_flow, "candidate_ready", _frozen_skips_its_shadow),
    ),
    Planted(
        name="trains_though_it_does_not_pay",
        what="A run that was bought for the challenger alone goes on to a training that costs more than it is worth.",
        plant=partial(replaced, job, "_on_to_training", _trains_though_it_does_not_pay),
    ),
    Planted(
        name="frozen_without_being_asked",
        what="Whatever calls itself a frozen challenger is taken, also by a run that wanted none.",
        plant=partial(replaced, job, "_recalled", _frozen_without_being_asked),
    ),
    Planted(
        name="frozen_counts_as_a_training",
        what="A run that trained nothing counts against the budget: trainings are refused that were paid for.",
        plant=partial(replaced, admission, "spared", _frozen_counts_as_a_training),
    ),
)
