"""One training run from its order to its end: submitted [-> recalled] -> finished | failed -> retried | failed for good, or deadline.

A run may begin by trying what exists already, archived releases and the frozen challenger (recall): one that is proved better
ends it, otherwise the training starts.

Every attempt has a deadline in controller time (the broker's timestamps). What ends a run is decided once: results of
a run that is not in flight, or of an older attempt, are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

import msgspec

from streams.events import RecallFinished, TrainingFailed, TrainingFinished, TrainingOrder
from streams.policy import AdmissionPolicy


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run starts now."""

    order: TrainingOrder


@dataclass(frozen=True, slots=True)
class ClockRead:
    """Controller time, from a record in the log."""


Event = Submitted | RecallFinished | TrainingFinished | TrainingFailed | ClockRead


@dataclass(frozen=True, slots=True)
class Ordered:
    """The trainer is to run this attempt."""

    order: TrainingOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The run is over. `candidate`: what the gate let through, or what was recalled; `made`: what it made, whatever the gate said."""

    run: str
    candidate: str
    why: str
    failed: bool
    made: str = ""
    recalled: bool = False
    frozen: bool = False
    """It is the frozen challenger."""
    learnt_until: datetime | None = None
    """With it: when the newest row was predicted that it has learnt, often beyond those that the order speaks of."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The record speaks of no run in flight."""

    why: str


Command = Ordered | Ended | Ignored


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The run in flight, if any."""

    order: TrainingOrder | None = None
    started: datetime | None = None

    @property
    def run(self) -> str:
        """Id of the run in flight, or ''."""
        return self.order.run if self.order else ""

    def deadline(self, policy: AdmissionPolicy) -> datetime | None:
        """When the attempt under way is given up."""
        return None if self.started is None else self.started + policy.deadline


def advance(state: Job, event: Event, now: datetime, policy: AdmissionPolicy) -> tuple[Job, tuple[Command, ...]]:
    """One step of the machine; `now` is the record's broker time."""
    match event:
        case Submitted():
            return Job(order=event.order, started=now), (Ordered(event.order),)
        case RecallFinished():
            return _recalled(state, event, now)
        case TrainingFinished():
            if state.order is None or event.run != state.run or state.order.looks_first:
                return state, (Ignored(f"run {event.run} is not in flight, or has not come to training"),)
            why = "the gate let the candidate through" if event.passed else "the gate refused the candidate"
            candidate = event.release if event.passed else ""
            why = f"{why}: {event.reason}"
            return Job(), (Ended(run=event.run, candidate=candidate, why=why, failed=False, made=event.release),)
        case TrainingFailed():
            return _failed(state, event, now, policy)
        case ClockRead():
            deadline = state.deadline(policy)
            if deadline is None or now < deadline:
                return state, ()
            return _again(state, f"no result within {policy.deadline}", now, policy, retryable=True)
        case _:
            assert_never(event)


def _recalled(state: Job, event: RecallFinished, now: datetime) -> tuple[Job, tuple[Command, ...]]:
    order = state.order
    if order is None or (event.run, event.attempt) != (order.run, order.attempt) or not order.looks_first:
        return state, (Ignored(f"run {event.run}, attempt {event.attempt}, tries nothing that exists now"),)
    frozen = bool(event.challenger and order.challenger and event.release)
    if frozen or event.release in order.recall:
        ended = Ended(
            run=order.run,
            candidate=event.release,
            why=event.reason,
            failed=False,
            made=event.release if frozen else "",
            recalled=True,
            frozen=frozen,
            learnt_until=event.learnt_until or now if frozen else None,
        )
        return Job(), (ended,)
    return _on_to_training(order, event.reason, now, attempt=order.attempt)


def _on_to_training(order: TrainingOrder, why: str, now: datetime, *, attempt: int) -> tuple[Job, tuple[Command, ...]]:
    """Nothing that exists is let through: a training, unless one does not pay."""
    if not order.training:
        return Job(), (Ended(run=order.run, candidate="", why=f"{why}; a training does not pay", failed=False),)
    training = msgspec.structs.replace(order, recall=(), challenger=False, attempt=attempt)
    return Job(order=training, started=now), (Ordered(training),)


def _failed(state: Job, event: TrainingFailed, now: datetime, policy: AdmissionPolicy) -> tuple[Job, tuple[Command, ...]]:
    if state.order is None or event.run != state.run:
        return state, (Ignored(f"run {event.run} is not in flight"),)
    if event.attempt != state.order.attempt:
        return state, (
            Ignored(f"attempt {event.attempt} of run {event.run} is over; attempt {state.order.attempt} is in flight"),
        )
    return _again(state, event.reason, now, policy, retryable=event.retryable)


def _again(state: Job, why: str, now: datetime, policy: AdmissionPolicy, *, retryable: bool) -> tuple[Job, tuple[Command, ...]]:
    assert state.order is not None  # only called with a run in flight
    order = state.order
    if order.looks_first:  # it is worth one try: what it could have spared is bought
        return _on_to_training(order, why, now, attempt=order.attempt + 1)
    if retryable and order.attempt < policy.attempts:
        retry = msgspec.structs.replace(order, attempt=order.attempt + 1)
        return Job(order=retry, started=now), (Ordered(retry),)
    return Job(), (Ended(run=order.run, candidate="", why=f"{why} (attempt {order.attempt} of {policy.attempts})", failed=True),)
