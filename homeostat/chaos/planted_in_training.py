"""Bugs of trainings, of what people and agents say, and of what the agents fold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from drift import monitoring, periods, signals
from drift.evidence import Grown
from drift.monitoring import ModelKnown
from drift.periods import Periods
from homeostat import incident_flow, measuring_flow, person_flow
from homeostat.chaos.planting import Planted, replaced
from homeostat.model_state import Arrival, ModelState, Step
from streams.events import (
    Approve,
    Decided,
    EvidenceGathered,
    LossesGathered,
    TrainingFailed,
    TrainingFinished,
    TrainingOrder,
    WindowCounted,
)
from streams.policy import AdmissionPolicy
from trainer import admission, job, open_runs
from trainer.admission import Admission, Refuse, Start, Wanted
from trainer.job import Command, Event, Job
from trainer.open_runs import CLOSING, OpenRuns

Admitted = tuple[Admission, Start | Refuse]
Worked = tuple[Job, tuple[Command, ...]]


def _two_runs_at_once(sound: Callable[..., Admitted]) -> Callable[..., Admitted]:
    return lambda state, want, policy: sound(state, dataclasses.replace(want, in_flight=""), policy)


def _budget_not_counted(sound: Callable[..., Admitted]) -> Callable[..., Admitted]:
    def advance(state: Admission, want: Wanted, policy: AdmissionPolicy) -> Admitted:
        admitted, answer = sound(state, want, policy)
        return msgspec.structs.replace(admitted, started=state.started), answer

    return advance


def _run_without_deadline(_: object) -> Callable[..., None]:
    return lambda *_: None


def _older_attempt_counts(sound: Callable[..., Worked]) -> Callable[..., Worked]:
    def failed(state: Job, event: TrainingFailed, now: datetime, policy: AdmissionPolicy) -> Worked:
        attempt = state.order.attempt if state.order else event.attempt
        return sound(state, msgspec.structs.replace(event, attempt=attempt), now, policy)

    return failed


def _result_of_another_run_counts(sound: Callable[..., Worked]) -> Callable[..., Worked]:
    def advance(state: Job, event: Event, now: datetime, policy: AdmissionPolicy) -> Worked:
        if isinstance(event, TrainingFinished) and state.order is not None:
            event = msgspec.structs.replace(event, run=state.run)
        return sound(state, event, now, policy)

    return advance


def _period_measured_twice(sound: Callable[..., str]) -> Callable[..., str]:
    return lambda state, record: sound(msgspec.structs.replace(state, last_period=-(2**62)), record)


def _impossible_losses_pass(sound: Callable[..., str]) -> Callable[..., str]:
    def unusable(state: ModelState, record: LossesGathered) -> str:
        return sound(state, msgspec.structs.replace(record, n=max(record.n, 0), loss=0, loss_squared=0))

    return unusable


def _retry_never_run(_: object) -> Callable[..., tuple[str, TrainingOrder] | None]:
    def following(self: OpenRuns) -> tuple[str, TrainingOrder] | None:
        answered_runs = {model: run for model, (run, *_) in self.answered.items()}
        return next(((model, order) for model, order in self.orders.items() if answered_runs.get(model) != order.run), None)

    return following


def _older_end_closes_the_run(sound: Callable[..., OpenRuns]) -> Callable[..., OpenRuns]:
    def decided(runs: OpenRuns, record: Decided) -> OpenRuns:
        if record.kind in CLOSING and record.model in runs.orders:
            record = msgspec.structs.replace(record, run=runs.orders[record.model].run)
        return sound(runs, record)

    return decided


def _approval_of_another_question(sound: Callable[..., Step]) -> Callable[..., Step]:
    def agreed(state: ModelState, record: Approve, arrival: Arrival) -> Step:
        decision = state.asked[-1].decision if state.asked else record.decision
        return sound(state, msgspec.structs.replace(record, decision=decision), arrival)

    return agreed


def _spoilt_candidate_stays(_: object) -> Callable[..., Step]:
    return lambda state, _: (state, ())


def _incident_without_a_route(sound: Callable[..., ModelState]) -> Callable[..., ModelState]:
    return lambda state, incidents: msgspec.structs.replace(sound(state, incidents), revision=state.revision)


def _windows_unchained(sound: Callable[..., object]) -> Callable[..., object]:
    def advance(state: monitoring.State, item: ModelKnown | WindowCounted) -> object:
        known = state.models.get(item.model)
        if isinstance(item, WindowCounted) and known is not None:
            others = {place: link for place, link in known.chain.items() if place != f"{item.topic}-{item.partition}"}
            known = msgspec.structs.replace(known, chain=others)
            state = msgspec.structs.replace(state, models={**state.models, item.model: known})
        return sound(state, item)

    return advance


def _covers_one_partition(sound: Callable[..., EvidenceGathered]) -> Callable[..., EvidenceGathered]:
    def evidence_gathered(window: WindowCounted, grown: Grown, _: dict[str, int]) -> EvidenceGathered:
        return sound(window, grown, {f"{window.topic}-{window.partition}": window.end_offset})

    return evidence_gathered


def _closed_period_opens_again(sound: Callable[..., object]) -> Callable[..., object]:
    def added(before: Periods, window: WindowCounted) -> object:
        return sound(msgspec.structs.replace(before, closed_until=Periods(seconds=1).closed_until), window)

    return added


IN_TRAINING: Final = (
    Planted(
        name="two_runs_at_once",
        what="A run in flight is not looked at when another is wanted: a second one starts, and the first one's result is lost.",
        plant=partial(replaced, admission, "advance", _two_runs_at_once),
    ),
    Planted(
        name="budget_not_counted",
        what="Starts of runs are not remembered: neither budget nor cooldown ever holds a training back.",
        plant=partial(replaced, admission, "advance", _budget_not_counted),
    ),
    Planted(
        name="run_without_deadline",
        what="A run is waited for without end: one whose trainer died holds up every other training of its model.",
        plant=partial(replaced, Job, "deadline", _run_without_deadline),
    ),
    Planted(
        name="older_attempt_counts",
        what="The failure of an attempt that was given up counts for the one in flight.",
        plant=partial(replaced, job, "_failed", _older_attempt_counts),
    ),
    Planted(
        name="result_of_another_run_counts",
        what="The late result of a run that was given up ends the run in flight, whose own candidate is then refused.",
        plant=partial(replaced, job, "advance", _result_of_another_run_counts),
    ),
    Planted(
        name="period_measured_twice",
        what="Losses of a period that was measured count again when they are told again: a training is bought too early.",
        plant=partial(replaced, measuring_flow, "_unusable", _period_measured_twice),
    ),
    Planted(
        name="impossible_losses_pass",
        what="Nobody checks that losses fit their number of rows: one absurd record buys a training.",
        plant=partial(replaced, measuring_flow, "_unusable", _impossible_losses_pass),
    ),
    Planted(
        name="retry_never_run",
        what="The trainer remembers runs that it answered, not attempts: an attempt that is asked for again never runs.",
        plant=partial(replaced, OpenRuns, "next", _retry_never_run),
    ),
    Planted(
        name="older_end_closes_the_run",
        what="The end of any run closes the model's open order: what an older candidate comes to makes the trainer drop a run.",
        plant=partial(replaced, open_runs, "decided", _older_end_closes_the_run),
    ),
    Planted(
        name="approval_of_another_question",
        what="An approval is taken for whatever is open now, not for the question that the person read.",
        plant=partial(replaced, person_flow, "agreed", _approval_of_another_question),
    ),
    Planted(
        name="spoilt_candidate_stays",
        what="An incident does not reach the candidate that was trained on its rows: it goes on to the promotion.",
        plant=partial(replaced, incident_flow, "_candidate_checked", _spoilt_candidate_stays),
    ),
    Planted(
        name="incident_without_a_route",
        what="An incident leaves the route's revision as it was: serving never hears of the quarantine.",
        plant=partial(replaced, incident_flow, "_with", _incident_without_a_route),
    ),
    Planted(
        name="windows_unchained",
        what="The agents do not look at which window came before: a repeat counts twice, a missing one is passed over.",
        plant=partial(replaced, monitoring, "advance", _windows_unchained),
    ),
    Planted(
        name="covers_one_partition",
        what="Evidence names only the partition whose window made it grow: the controller refuses it as going back.",
        plant=partial(replaced, signals, "evidence_gathered", _covers_one_partition),
    ),
    Planted(
        name="closed_period_opens_again",
        what="A label that comes late opens its closed period again: its losses are told twice, the second time almost empty.",
        plant=partial(replaced, periods, "_added", _closed_period_opens_again),
    ),
)
