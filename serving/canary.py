"""The rollout machine: a candidate's way from shadow to champion, or out. It owns the route.

    idle --CandidateReady--> shadow --NoWorse--> stepping --NoWorse, exposure--> ... --> baking --rows--> idle
                               |                    |                                       |
                   Worse, undecided, late     Worse, undecided, late                     Worse
                               v                    v                                       v
                             idle                 idle (champion alone)         idle (the control serves again)

- Evidence is cumulative since its (generation, step) began; the difference to the last record counts, once.
- The loss is proved on pairs (both releases on the same row) and carries over all steps; it must be `NoWorse` now.
- Failures and latency can only stop. A step also needs exposure: rows answered, the candidate's share among them.
- The bake asks anew, with a budget of its own: is the new champion worse than the control that it replaced?
- A candidate that is ready meanwhile waits until the rollout is over; a newer one takes its place.
- A person may always go back. Absence of evidence never promotes: the deadline (controller time) ends a rollout.
- Every shift that changes roles raises the generation by one.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final, assert_never

import msgspec

from serving import evidence, transitions, verdict
from serving.evidence import Increment, Repeated, Unusable
from serving.rollout import (
    CandidateReady,
    ChampionSet,
    Event,
    Note,
    Rollout,
    Shift,
    Stage,
    Waiting,
)
from serving.transitions import Step
from serving.verdict import Inconclusive, NoWorse, Unmeasured, Verdict, Wealths, Worse
from streams.events import EvidenceGathered, RollBack, Ticked
from streams.policy import CanaryPolicy

__all__ = ["CandidateReady", "ChampionSet", "Event", "Note", "Rollout", "Shift", "advance", "next_deadline"]

_LEAST_OF_SHARE: Final = 0.5
"""The candidate must have answered at least so much of its share: one that always falls back proves nothing."""


def advance(state: Rollout, event: Event, policy: CanaryPolicy) -> Step:
    """One step of the machine."""
    match event:
        case ChampionSet():
            return _champion_set(state, event)
        case CandidateReady():
            return _candidate_ready(_at(state, event.at), event)
        case EvidenceGathered():
            return _evidence_gathered(state, event, policy)
        case Ticked():
            return _ticked(_at(state, event.at), event.at, policy)
        case RollBack():
            return transitions.rolled_back_by_person(state, event)
        case _:
            assert_never(event)


def next_deadline(state: Rollout, policy: CanaryPolicy) -> datetime | None:
    """Controller time at which a tick would act; None while nothing is pending."""
    began = state.since or state.clock
    return None if state.phase == "idle" or began is None else began + policy.deadline


def _at(state: Rollout, at: datetime) -> Rollout:
    return msgspec.structs.replace(state, clock=at if state.clock is None else max(at, state.clock))


def _champion_set(state: Rollout, event: ChampionSet) -> Step:
    if state.champion:
        why = f"a champion serves already ({state.champion[:12]}): a release comes in as a candidate"
        return state, (Note(kind="Refused", why=why, release=event.release),)
    return msgspec.structs.replace(_at(state, event.at), champion=event.release, generation=state.generation + 1), ()


def _candidate_ready(state: Rollout, event: CandidateReady) -> Step:
    release, run = event.release, event.run
    if not state.champion:
        return state, (Note(kind="Refused", why="no champion serves yet; register the model first", release=release, run=run),)
    if release in (state.champion, state.candidate):
        why = "it is the release that serves, or is being tried, already"
        return state, (Shift(kind="CandidateRejected", why=why, release=release, run=run),)
    if state.phase == "idle":
        return transitions.shadow_started(state, Waiting(release=release, run=run), event.at)
    waits = Note(kind="CandidateQueued", why=f"waits until the {state.phase} is over", release=release, run=run)
    before, state = state.queued, msgspec.structs.replace(state, queued=Waiting(release=release, run=run))
    if before is None:
        return state, (waits,)
    out = Shift(kind="CandidateRejected", why="a newer candidate took its place", release=before.release, run=before.run)
    return state, (out, waits)


def _evidence_gathered(state: Rollout, event: EvidenceGathered, policy: CanaryPolicy) -> Step:
    stage = _stage_of(state, event)
    if not isinstance(stage, Stage):
        return state, (stage,)
    last = state.last_counted(event.generation, event.step, event.arm)
    increment = evidence.increment_of(event, last)
    match increment:
        case Unusable():
            return state, (Note(kind="Refused", why=f"evidence: {increment.why}", release=event.release),)
        case Repeated():
            return state, (Note(kind="EvidenceNoted", why="repeats what was counted", release=event.release),)
        case Increment():
            others = tuple(entry for entry in state.counted if entry is not last)
            wealths = _bet(state, stage, increment, policy)
            state = msgspec.structs.replace(state, wealths=wealths, counted=(*others, evidence.counted(event)))
            return _judged(state, policy)
        case _:
            assert_never(increment)


def _stage_of(state: Rollout, event: EvidenceGathered) -> Stage | Note:
    if event.generation > state.generation:
        why = f"evidence of generation {event.generation}; the route is at {state.generation}"
        return Note(kind="Refused", why=why, release=event.release)
    for stage in state.stages:
        if (stage.generation, stage.step, stage.arm) == (event.generation, event.step, event.arm):
            pair = (state.tried, state.incumbent) if stage.arm == "candidate" else (state.control, state.champion)
            if (event.release, event.champion) == pair:
                return stage
            return Note(kind="Refused", why="evidence names releases that did not meet in that step", release=event.release)
    return Note(kind="EvidenceNoted", why="of a rollout that is over", release=event.release)


def _bet(state: Rollout, stage: Stage, increment: Increment, policy: CanaryPolicy) -> Wealths:
    increment = increment if stage.arm == "candidate" else increment.from_the_other_side()
    wealths = verdict.add_pairs(state.wealths, increment, policy.margin)
    if stage is not state.stages[-1]:
        return wealths  # exposure of a step that is over says nothing of the load of this one
    wealths = verdict.add_failures(wealths, increment, policy.failure_margin)
    return verdict.add_latency(wealths, increment, share=stage.share, ratio=policy.latency_ratio)


def _judged(state: Rollout, policy: CanaryPolicy) -> Step:
    found = verdict.judge(state.wealths, policy, **_place(state, policy))
    numbers = _numbers(state, policy)
    match state.phase:
        case "shadow" if _too_early(state, found, policy):
            pass
        case "shadow" | "stepping":
            if isinstance(found, Worse):
                return transitions.taken_out(state, f"worse than the champion: {found.metric}", numbers)
            if isinstance(found, NoWorse) and _exposed(state, policy):
                return _forward(state, policy, numbers)
            undecided_at = policy.shadow_rows if state.phase == "shadow" else 2 * policy.shadow_rows
            if isinstance(found, Inconclusive) and state.wealths.rows >= undecided_at:
                return transitions.taken_out(state, f"inconclusive after {state.wealths.rows} labelled rows", numbers)
        case "baking":
            if isinstance(found, Worse):
                return transitions.restored(state, state.control, f"worse than its control: {found.metric}", numbers)
            watched = state.last_counted(state.generation, 0, "control").n
            if watched >= policy.bake_rows:
                return transitions.bake_ended(state, f"not found worse on {watched} labelled rows", numbers)
        case _:
            raise AssertionError("evidence is judged in a rollout only")
    return state, (Note(kind="EvidenceNoted", why=_said(found), release=state.tried, run=state.run, numbers=numbers),)


def _too_early(state: Rollout, found: Verdict, policy: CanaryPolicy) -> bool:
    """Whether only the loss speaks, and on too few rows of a stream whose labels depend on each other."""
    by_failing = isinstance(found, Worse) and found.metric != "loss"
    return state.wealths.rows < policy.shadow_least_rows and not by_failing


def _place(state: Rollout, policy: CanaryPolicy) -> dict[str, int]:
    if state.phase == "baking":
        return {"stage": 0, "stages": 1}
    split = sum(1 for share in policy.steps if share < 1.0)
    return {"stage": min(state.step, split), "stages": split + 1}


def _numbers(state: Rollout, policy: CanaryPolicy) -> dict[str, float]:
    numbers = verdict.numbers_of(state.wealths, policy, **_place(state, policy))
    total, of_candidate = _answered(state)
    return {**numbers, "answered_in_step": float(total), "answered_by_candidate": float(of_candidate), "share": state.share}


def _answered(state: Rollout) -> tuple[int, int]:
    stage = state.stages[-1]
    last = state.last_counted(stage.generation, stage.step, stage.arm)
    of_candidate = evidence.exposure(last, "candidate").answered
    return evidence.exposure(last, "champion").answered + of_candidate, of_candidate


def _exposed(state: Rollout, policy: CanaryPolicy) -> bool:
    if state.phase == "shadow":
        return True
    total, of_candidate = _answered(state)
    return total >= policy.step_rows and of_candidate >= _LEAST_OF_SHARE * state.share * total


def _forward(state: Rollout, policy: CanaryPolicy, numbers: dict[str, float]) -> Step:
    share = policy.steps[state.step] if state.step < len(policy.steps) else 1.0
    proved = (
        f"loss proved less than {policy.margin:g} worse on {state.wealths.rows} labelled rows "
        f"(e-value {math.exp(min(numbers['log_e_no_worse'], 600.0)):.3g} of {1 / policy.alpha_promote:g})"
    )
    if share < 1.0:
        return transitions.step_taken(state, share, proved, numbers)
    unproved = "not proved: failures and latency, only watched for worse; nothing else was measured"
    return transitions.promoted(state, f"{proved}; {unproved}", numbers)


def _ticked(state: Rollout, at: datetime, policy: CanaryPolicy) -> Step:
    if state.phase == "idle":
        return state, ()
    if state.since is None:
        return msgspec.structs.replace(state, since=at), ()
    if at < state.since + policy.deadline:
        return state, ()
    why, numbers = f"deadline: undecided {policy.deadline} after it began", _numbers(state, policy)
    if state.phase == "baking":
        return transitions.bake_ended(state, why, numbers)
    return transitions.taken_out(state, why, numbers)


def _said(found: Verdict) -> str:
    match found:
        case NoWorse():
            return "loss no worse; waits for exposure"
        case Worse():
            return f"worse: {found.metric}"
        case Inconclusive():
            return f"inconclusive: needs {found.needs} more labelled rows if it is truly equal"
        case Unmeasured():
            return f"unmeasured: {found.why}"
        case _:
            assert_never(found)
