"""Rules of single records: each counts once, for what it speaks of, and only when it is possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from homeostat.chaos import rubbish
from homeostat.chaos.history import History
from streams.codec import encode_json
from streams.events import (
    Approve,
    Decided,
    EvidenceGathered,
    LossesGathered,
    RecallFinished,
    TrainingFailed,
    TrainingFinished,
)

_OF_RUNS: Final = frozenset({"TrainingEnded", "Recalled", "ChallengerFrozen", "TrainingRetried", "TrainingStarted"})


def rubbish_never_counts(history: History) -> Iterator[str]:
    """Whatever is impossible is refused; of a rollout that is over nothing is counted anyway."""
    for decision in history.decisions:
        record = history.records.get((decision.partition, decision.offset))
        if record is not None and record.actor == rubbish.ACTOR and not _passed_over(decision):
            yield f"{decision.model}: {decision.kind} at offset {decision.offset} follows from rubbish: {decision.why}"


def what_agents_tell_again_is_the_same(history: History) -> Iterator[str]:
    """A record of the agents that comes twice says the same twice: its id derives from its cause."""
    told: dict[str, bytes] = {}
    for place, record in history.records.items():
        if isinstance(record, LossesGathered) and record.actor == "agents":
            content = encode_json(record)
            if told.setdefault(record.id, content) != content:
                yield f"control {place} tells the losses of period {record.period} of {record.release} otherwise than before"


def results_count_for_their_attempt(history: History) -> Iterator[str]:
    """What a run gives ends or retries that run, and that attempt of it, or nothing."""
    for model, decisions in history.model_decisions().items():
        attempt = 0
        for decision in decisions:
            record = history.records.get((decision.partition, decision.offset))
            if isinstance(record, TrainingFinished | TrainingFailed | RecallFinished) and decision.kind in _OF_RUNS:
                if record.run != decision.run:
                    yield f"{model}: {decision.kind} of run {decision.run} follows from a result of {record.run}"
                if isinstance(record, TrainingFailed | RecallFinished) and record.attempt != attempt:
                    yield f"{model}: a result of attempt {record.attempt} ended attempt {attempt} of run {decision.run}"
            if decision.order is not None:
                attempt = decision.order.attempt


def an_approval_answers_its_question(history: History) -> Iterator[str]:
    """A person's word counts for what was asked by the decision that it names."""
    for model, decisions in history.model_decisions().items():
        asked: dict[str, str] = {}
        for decision in decisions:
            if decision.kind == "ApprovalWanted":
                asked[decision.id] = decision.run
            elif decision.kind == "Approved":
                record = history.records[decision.partition, decision.offset]
                named = record.decision if isinstance(record, Approve) else ""
                if asked.get(named, "no question") != decision.run:
                    yield f"{model}: {named} is approved, and taken for the question of run {decision.run!r}"


def the_trainer_forgets_no_run(history: History) -> Iterator[str]:
    """As long as a run is open, the trainer knows that it owes a result."""
    yield from (f"run {run} was open, and the trainer did not know it" for run in sorted(history.forgotten))


def evidence_goes_forward(history: History) -> Iterator[str]:
    """One agent that is never restarted tells nothing that goes back behind what it told."""
    if history.plan.agents > 1 or history.plan.other_crash:
        return
    for decision in history.decisions:
        record = history.records.get((decision.partition, decision.offset))
        if isinstance(record, EvidenceGathered) and record.actor == "agents" and decision.why.startswith("evidence: covers"):
            yield f"{decision.model}: the evidence at offset {decision.offset} was refused: {decision.why}"


def _passed_over(decision: Decided) -> bool:
    return decision.kind == "Refused" or (decision.kind == "EvidenceNoted" and decision.why == "of a rollout that is over")


RULES: Final = (
    rubbish_never_counts,
    what_agents_tell_again_is_the_same,
    results_count_for_their_attempt,
    an_approval_answers_its_question,
    the_trainer_forgets_no_run,
    evidence_goes_forward,
)
