"""Rules of rollouts: who may be promoted, on what evidence, and that whoever is out stays out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from homeostat.chaos.history import History
from serving import bets, verdict
from serving.evidence import ArmCounts, Increment
from serving.verdict import Wealths
from streams.events import ArmEvidence, Decided, EvidenceGathered, Route
from streams.policy import CanaryPolicy

_OUT: Final = frozenset({"CandidateRejected", "RolledBack"})
_IN: Final = frozenset({"ShadowStarted", "StepTaken", "Promoted"})


def one_promotion_per_run(history: History) -> Iterator[str]:
    """I3: a run, or a person's offer, promotes at most once, and every promotion names its run."""
    for model, decisions in history.model_decisions().items():
        for run, times in Counter(decision.run for decision in decisions if decision.kind == "Promoted").items():
            if times > 1 or not run:
                yield f"{model}: run {run!r} promoted {times} times"


def whoever_is_out_stays_out(history: History) -> Iterator[str]:
    """I6: the candidate of a run that was taken out is not tried again for it, unless a person overrides the gate."""
    for model, decisions in history.model_decisions().items():
        out: set[str] = set()
        for decision in decisions:
            if decision.kind in _OUT and decision.run:
                out.add(decision.run)
            elif decision.kind == "GateOverridden":
                out.discard(decision.run)
            elif decision.kind in _IN and decision.run in out:
                yield f"{model}: {decision.kind} of run {decision.run} at offset {decision.offset}, after it was taken out"


def no_failing_release_is_promoted(history: History) -> Iterator[str]:
    """I8: one that never answers can prove nothing."""
    for decision in history.decisions:
        if decision.kind == "Promoted" and history.releases.truths[decision.release].fails:
            yield f"{decision.model}: {decision.release} is promoted, and fails on every row"


def evidence_is_true(history: History) -> Iterator[str]:
    """I8: the agents never tell of more labelled pairs, or more answers, than there were."""
    for place, record in history.records.items():
        if isinstance(record, EvidenceGathered) and record.actor == "agents":
            key = record.model, record.generation, record.step
            if record.n > history.traffic.pairs[(*key, record.arm)]:
                yield f"evidence at {place} tells of {record.n} pairs; there were {history.traffic.pairs[(*key, record.arm)]}"
            for arm in record.arms:
                if arm.answered > history.traffic.exposed[(*key, arm.arm)]:
                    yield f"evidence at {place} tells of {arm.answered} answers of {arm.arm}, more than there were"


def no_promotion_without_evidence(history: History) -> Iterator[str]:
    """I8: every step forward rests on as many labelled rows and answers as the policy wants, counted here once more."""
    routes = {route.decision: route for route in history.routes}
    for model, decisions in history.model_decisions().items():
        policy, told = history.plan.policies[model].canary, _Told()
        rollout = _Rollout()
        evidence = iter(sorted(_usable(history, model), key=lambda one: one[0]))
        waiting = next(evidence, None)
        for decision in decisions:
            while waiting is not None and waiting[0] <= decision.offset:
                told.count(waiting[1])
                waiting = next(evidence, None)
            if decision.kind in ("GateOverridden", "ShadowOverridden"):
                rollout.overridden.add(decision.run)
                # Whoever waited already keeps its place, and the run that it was offered by.
                same = history.by_place(model)[decision.offset]
                rollout.overridden |= {one.run for one in same if one.kind == "CandidateQueued"}
            elif decision.kind == "ShadowStarted":
                rollout.begins(decision.run)
            elif decision.kind in ("StepTaken", "Promoted"):
                for what in rollout.faults(decision, told, policy):
                    yield f"{model}: {decision.kind} of {decision.release} at offset {decision.offset}: {what}"
                rollout.steps += 1
            elif decision.kind in _OUT and decision.run == rollout.run:
                rollout.begins("")
            if (route := routes.get(decision.id)) is not None and route.candidate:
                rollout.generations.append(route)


@dataclass(slots=True)
class _Told:
    """The usable evidence on candidates, and the newest of each (generation, step)."""

    records: list[EvidenceGathered] = field(default_factory=list)
    last: dict[tuple[int, int], EvidenceGathered] = field(default_factory=dict)

    def count(self, record: EvidenceGathered) -> None:
        if record.arm == "candidate":
            self.records.append(record)
            self.last[record.generation, record.step] = record

    def log_e(self, stages: set[tuple[int, int]], margin: float) -> float:
        """The bets on these stages made once more, record by record."""
        wealths, before = Wealths(), dict[tuple[int, int], tuple[int, int, int]]()
        nothing = ArmCounts(latency={})
        for record in self.records:
            stage = record.generation, record.step
            if stage in stages:
                n, worse, better = before.get(stage, (0, 0, 0))
                before[stage] = record.n, record.worse, record.better
                increment = Increment(
                    n=record.n - n, worse=record.worse - worse, better=record.better - better,
                    difference=float(record.worse - worse - record.better + better),
                    squared=float(record.worse - worse + record.better - better), arm=nothing, champion=nothing,
                )  # fmt: skip
                wealths = verdict.add_pairs(wealths, increment, margin)
        return bets.log_e(wealths.loss_no_worse)


@dataclass(slots=True)
class _Rollout:
    """The rollout under way, as the log tells it."""

    run: str = ""
    generations: list[Route] = field(default_factory=list)
    steps: int = 0
    overridden: set[str] = field(default_factory=set)

    def begins(self, run: str) -> None:
        """Another candidate is tried."""
        self.run, self.generations, self.steps = run, [], 0

    def faults(self, decision: Decided, told: _Told, policy: CanaryPolicy) -> Iterator[str]:
        """What a step forward lacks."""
        overridden = decision.kind == "StepTaken" and decision.run in self.overridden
        if overridden and decision.run != self.run:
            self.begins(decision.run)
        if decision.run != self.run:
            yield f"its run is {decision.run}, the one being tried {self.run}"
        if overridden and self.steps == 0:
            return
        stages = {(route.generation, route.step) for route in self.generations}
        counted = [told.last[stage] for stage in stages if stage in told.last]
        rows = sum(one.n for one in counted)
        if decision.numbers.get("labelled") != rows:
            yield f"it counts {decision.numbers.get('labelled')} labelled rows, the evidence {rows}"
        wanted = 1 if decision.run in self.overridden else policy.shadow_least_rows
        if rows < wanted:
            yield f"{rows} labelled rows of {wanted}"
        if (log_e := told.log_e(stages, policy.margin)) < -math.log(policy.alpha_promote) - 1e-9:
            yield f"the log of its e-value is {log_e:.3f}"
        if self.steps:
            yield from self._unexposed(told, policy)
        if decision.kind == "Promoted" and self.steps != len(policy.steps) - 1:
            yield f"after {self.steps} steps of {len(policy.steps) - 1}"

    def _unexposed(self, told: _Told, policy: CanaryPolicy) -> Iterator[str]:
        now = self.generations[-1]
        record = told.last.get((now.generation, now.step))
        arms = {arm.arm: arm for arm in record.arms} if record is not None else {}
        nothing = ArmEvidence(arm="", release="")
        by_it, by_champion = arms.get("candidate", nothing).answered, arms.get("champion", nothing).answered
        if by_it + by_champion < policy.step_rows:
            yield f"{by_it + by_champion} rows answered in its step"
        if by_it < now.share * (by_it + by_champion) / 2:
            yield f"it answered {by_it} of {by_it + by_champion} rows, at a share of {now.share}"


def _usable(history: History, model: str) -> Iterator[tuple[int, EvidenceGathered]]:
    """Evidence that was not refused, with its offset."""
    refused = {(decision.partition, decision.offset) for decision in history.decisions if decision.kind == "Refused"}
    for place, record in history.records.items():
        if isinstance(record, EvidenceGathered) and record.model == model and place not in refused:
            yield place[1], record


RULES: Final = (
    one_promotion_per_run,
    whoever_is_out_stays_out,
    no_failing_release_is_promoted,
    evidence_is_true,
    no_promotion_without_evidence,
)
