"""Rules of ways out: deadlines, queues, the bake, rollbacks, spoilt candidates, the budget of trainings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from homeostat.chaos.history import History
from homeostat.chaos.plan import ROLLOUT_DEADLINE, RUNS_DEADLINE
from streams.events import Decided, EvidenceGathered, QualityIncident, Ticked

_OUT: Final = frozenset({"CandidateRejected", "RolledBack"})
_BUDGET_WINDOW: Final = timedelta(days=30)


def no_deadline_passes_early(history: History) -> Iterator[str]:
    """F14: by the broker's clock, whatever the leader's own says."""
    for model, decisions in history.model_decisions().items():
        ordered: datetime | None = None
        began: datetime | None = None
        for decision in decisions:
            ticked = isinstance(history.records.get((decision.partition, decision.offset)), Ticked)
            at = history.taken_at(decision)
            if ticked and ordered is not None and decision.kind in ("TrainingRetried", "TrainingEnded", "TrainingStarted"):
                if at < ordered + RUNS_DEADLINE:
                    yield f"{model}: {decision.kind} at offset {decision.offset}, {at - ordered} after its order"
            elif ticked and began is not None and decision.kind in (*_OUT, "BakeEnded") and at < began + ROLLOUT_DEADLINE:
                yield f"{model}: {decision.kind} at offset {decision.offset}, {at - began} after it began"
            if decision.order is not None:
                ordered = at
            if decision.kind in ("ShadowStarted", "Promoted") or (decision.kind == "StepTaken" and began is None):
                began = at
            elif decision.kind in (*_OUT, "BakeEnded"):
                began = None


def whoever_waits_gets_a_turn(history: History) -> Iterator[str]:
    """A candidate in the queue is tried or rejected, not lost."""
    for model, decisions in history.model_decisions().items():
        waiting: dict[str, Decided] = {}
        for decision in decisions:
            if decision.kind == "CandidateQueued":
                waiting[decision.run] = decision
            elif decision.kind in (*_OUT, "ShadowStarted", "StepTaken"):
                waiting.pop(decision.run, None)
        queued = history.states()[model].rollout.queued
        for run in waiting.keys() - ({queued.run} if queued is not None else set()):
            yield f"{model}: the candidate of run {run} waited from offset {waiting[run].offset} on, and is gone"


def who_served_is_remembered_in_order(history: History) -> Iterator[str]:
    """The next rollback goes to who served last; whoever was taken out for cause comes last of all."""
    for model, decisions in history.model_decisions().items():
        champion, served = "", list[str]()
        for decision in decisions:
            if decision.kind in ("Registered", "Restored"):
                champion = decision.release
            elif decision.kind == "Promoted":
                served = [one for one in served if one not in (champion, decision.release)] + [champion]
                champion = decision.release
            elif decision.kind == "RolledBack" and decision.release == champion:
                # The last decision about a record says who serves after all of them.
                back = history.by_place(model)[decision.offset][-1].champion
                served = [champion, *(one for one in served if one not in (champion, back))]
                champion = back
        if list(history.states()[model].rollout.served) != served:
            yield f"{model}: {history.states()[model].rollout.served} are remembered, {served} served"


def the_bake_looks_the_right_way(history: History) -> Iterator[str]:
    """A champion goes back for its losses only when it lost more than its control on what came since its promotion."""
    for model, decisions in history.model_decisions().items():
        promoted = 0
        for decision in decisions:
            if decision.kind == "Promoted":
                promoted = decision.offset
            elif decision.kind == "RolledBack" and decision.why.startswith("worse than its control: loss"):
                told = _lost_more(history, decision, promoted)
                if told and max(told) <= 0:
                    yield f"{model}: {decision.release} goes back at offset {decision.offset}, and never lost more than its control"


def _lost_more(history: History, decision: Decided, promoted: int) -> list[int]:
    """By how many rows the release lost more, for each record between its promotion and its end; cumulative within a step."""
    before: dict[tuple[int, int, str], int] = {}
    told = []
    for (partition, offset), record in sorted(history.records.items()):
        if partition != decision.partition or offset > decision.offset or not isinstance(record, EvidenceGathered):
            continue
        if record.model != decision.model or not _about(record, decision.release):
            continue
        key = record.generation, record.step, record.arm
        more = record.better - record.worse if record.arm == "control" else record.worse - record.better
        if offset <= promoted:
            before[key] = more
        else:
            told.append(more - before.get(key, 0))
    return told


def a_spoilt_candidate_goes(history: History) -> Iterator[str]:
    """A data bug that is called takes out the candidate that was trained on its rows."""
    for model, decisions in history.model_decisions().items():
        places, orders, tried = history.by_place(model), {}, ""
        for decision in decisions:
            if decision.order is not None:
                orders[decision.run] = decision.order
            if decision.kind == "Recalled":
                orders.pop(decision.run)  # trained long ago, by another order
            if decision.kind in ("ShadowStarted", "StepTaken"):
                tried = decision.run
            elif decision.kind in (*_OUT, "Promoted") and decision.run == tried:
                tried = ""
            record = history.records.get((decision.partition, decision.offset))
            if decision.kind != "IncidentOpened" or not isinstance(record, QualityIncident) or tried not in orders:
                continue
            order, rule = orders[tried], record.rule
            spoilt = rule.since < order.as_of and rule.incident not in {one.incident for one in order.quarantine}
            if spoilt and not any(one.kind in _OUT and one.run == tried for one in places[decision.offset]):
                yield f"{model}: run {tried} learnt from what incident {rule.incident} spoilt, and goes on at {decision.offset}"


def trainings_keep_to_their_budget(history: History) -> Iterator[str]:
    """So many starts in any 30 days of event time; a run that only tried what there was is not counted."""
    for model, decisions in history.model_decisions().items():
        budget, started, runs = history.plan.policies[model].admission.trainings_per_30_days, list[datetime](), set[str]()
        looking = False
        for decision in decisions:
            if decision.kind in ("RecallStarted", "TrainingStarted"):
                looking = decision.kind == "RecallStarted"
            if decision.kind in ("RecallStarted", "TrainingStarted") and decision.order is not None and decision.run not in runs:
                at = decision.order.as_of
                recent = [one for one in started if at - _BUDGET_WINDOW < one <= at]
                if len(recent) >= budget:
                    yield f"{model}: run {decision.run} is number {len(recent) + 1} of {budget} in 30 days"
                started.append(at)
                runs.add(decision.run)
            elif decision.kind in ("Recalled", "ChallengerFrozen", "TrainingEnded") and looking and started:
                looking = False
                started.pop()


def _about(record: EvidenceGathered, champion: str) -> bool:
    return champion == (record.champion if record.arm == "control" else record.release)


RULES: Final = (
    no_deadline_passes_early,
    whoever_waits_gets_a_turn,
    who_served_is_remembered_in_order,
    the_bake_looks_the_right_way,
    a_spoilt_candidate_goes,
    trainings_keep_to_their_budget,
)
