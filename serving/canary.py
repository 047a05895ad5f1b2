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
- A candidate that is ready meanwhile waits until the rollout is over, and a newer one takes its place in the queue; or, by
  policy, it takes the place of one in shadow, never of one that did so itself: every candidate tried comes to a verdict.
- A person may always go back, hold everything (then only ways back stay open), or override gate and shadow (never the paired
  losses: they go on counting in steps and bake). Where the policy wants a person's word, shadow is left only with it.
- Absence of evidence never promotes: the deadline (controller time) ends a rollout, and a person is asked.
- Every shift that changes roles raises the generation by one.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from serving import evidence, judging, transitions, verdict
from serving.evidence import Increment, Repeated, Unusable
from serving.rollout import (
    Agreed,
    CandidateReady,
    ChampionSet,
    Command,
    Event,
    Held,
    Note,
    Rollout,
    ShadowPassedOver,
    Shift,
    Spoilt,
    Stage,
    Waiting,
)
from serving.transitions import Step
from serving.verdict import Wealths
from streams.events import EvidenceGathered, RollBack, Ticked
from streams.policy import CanaryPolicy

__all__ = [
    "Agreed",
    "CandidateReady",
    "ChampionSet",
    "Event",
    "Held",
    "Note",
    "Rollout",
    "ShadowPassedOver",
    "Shift",
    "Spoilt",
    "advance",
    "next_deadline",
]


def advance(state: Rollout, event: Event, policy: CanaryPolicy) -> Step:
    """One step of the machine; whoever waits gets its turn as soon as nothing is tried."""
    state, commands = _stepped(state, event, policy)
    return transitions.with_queued(state, commands, policy.steps[0])


def _stepped(state: Rollout, event: Event, policy: CanaryPolicy) -> Step:
    match event:
        case ChampionSet():
            return _champion_set(state, event)
        case CandidateReady():
            return _candidate_ready(_at(state, event.at), event, policy)
        case EvidenceGathered():
            return _evidence_gathered(state, event, policy)
        case Ticked():
            return _ticked(_at(state, event.at), event.at, policy)
        case RollBack():
            return transitions.rolled_back_by_person(state, event)
        case Held():
            return _held(_at(state, event.at), event, policy)
        case Agreed():
            return _looked_at_again(msgspec.structs.replace(_at(state, event.at), asks=False), policy)
        case ShadowPassedOver():
            return _shadow_passed_over(_at(state, event.at), policy)
        case Spoilt():
            return _spoilt(_at(state, event.at), event)
        case _:
            assert_never(event)


def next_deadline(state: Rollout, policy: CanaryPolicy) -> datetime | None:
    """Controller time at which a tick would act; None while nothing is pending."""
    began = state.since or state.clock
    held = state.phase == "baking" and state.paused
    return None if state.phase == "idle" or held or began is None else began + policy.deadline


def _at(state: Rollout, at: datetime) -> Rollout:
    return msgspec.structs.replace(state, clock=at if state.clock is None else max(at, state.clock))


def _champion_set(state: Rollout, event: ChampionSet) -> Step:
    if state.champion:
        why = f"a champion serves already ({state.champion[:12]}): a release comes in as a candidate"
        return state, (Note(kind="Refused", why=why, release=event.release),)
    return msgspec.structs.replace(_at(state, event.at), champion=event.release, generation=state.generation + 1), ()


def _candidate_ready(state: Rollout, event: CandidateReady, policy: CanaryPolicy) -> Step:
    release, run = event.release, event.run
    if not state.champion:
        return state, (Note(kind="Refused", why="no champion serves yet; register the model first", release=release, run=run),)
    if release in (state.champion, state.candidate):
        why = "it is the release that serves, or is being tried, already"
        return state, (Shift(kind="CandidateRejected", why=why, release=release, run=run, bought=event.bought),)
    if state.queued is not None and state.waiting == release:
        return _waits_already(state, state.queued, event)
    waiting = Waiting(release=release, run=run, asks=event.asks, straight=event.straight, bought=event.bought)
    if state.phase == "idle" and not state.paused:
        return transitions.tried(state, waiting, event.at, policy.steps[0])
    out = _leaves_the_queue(state.queued)
    state = msgspec.structs.replace(state, queued=None)
    if policy.newer == "replaces" and state.phase == "shadow" and not state.replaced and not state.paused:
        state, shift = transitions.taken_out(state, "a newer candidate takes its place, as the policy says", {})
        state, started = transitions.tried(state, waiting, event.at, policy.steps[0])
        return msgspec.structs.replace(state, replaced=True), (*out, *shift, *started)
    why = "waits: a person holds the model" if state.paused else f"waits until the {state.phase} is over"
    queued = Note(kind="CandidateQueued", why=why, release=release, run=run)
    return msgspec.structs.replace(state, queued=waiting), (*out, queued)


def _waits_already(state: Rollout, waiting: Waiting, event: CandidateReady) -> Step:
    """A person says something of a candidate that waits: it keeps its place and its run."""
    waiting = msgspec.structs.replace(
        waiting,
        asks=waiting.asks and event.asks,
        straight=waiting.straight or event.straight,
        bought=waiting.bought or event.bought,
    )
    note = Note(kind="CandidateQueued", why="it waits already, and keeps its place", release=waiting.release, run=waiting.run)
    return msgspec.structs.replace(state, queued=waiting), (note,)


def _leaves_the_queue(waiting: Waiting | None) -> tuple[Command, ...]:
    if waiting is None:
        return ()
    why = "a newer candidate took its place"
    return (Shift(kind="CandidateRejected", why=why, release=waiting.release, run=waiting.run, bought=waiting.bought),)


def _held(state: Rollout, event: Held, policy: CanaryPolicy) -> Step:
    state = msgspec.structs.replace(state, paused=event.on)
    return (state, ()) if event.on else _looked_at_again(state, policy)


def _looked_at_again(state: Rollout, policy: CanaryPolicy) -> Step:
    """What evidence allowed before, and a person did not, happens now."""
    if state.phase == "idle" or not state.counted:
        return state, ()
    state, commands = judging.judged(state, policy)
    return state, tuple(command for command in commands if command.kind != "EvidenceNoted")


def _shadow_passed_over(state: Rollout, policy: CanaryPolicy) -> Step:
    why = "a person overrides the shadow"
    return transitions.step_taken(state, policy.steps[0], why, judging.numbers_of(state, policy))


def _spoilt(state: Rollout, event: Spoilt) -> Step:
    commands: tuple[Command, ...] = ()
    if state.queued is not None and state.waiting == event.release:
        out = state.queued
        state = msgspec.structs.replace(state, queued=None)
        commands = (Shift(kind="CandidateRejected", why=event.why, release=out.release, run=out.run, bought=out.bought),)
    if state.candidate != event.release:
        return state, commands
    state, more = transitions.taken_out(state, event.why, {})
    return state, (*commands, *more)


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
            return judging.judged(state, policy)
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


def _ticked(state: Rollout, at: datetime, policy: CanaryPolicy) -> Step:
    if state.phase == "idle":
        return state, ()
    if state.since is None:
        return msgspec.structs.replace(state, since=at), ()
    if at < state.since + policy.deadline:
        return state, ()
    why, numbers = f"deadline: undecided {policy.deadline} after it began", judging.numbers_of(state, policy)
    if state.phase == "baking":
        # Held by a person, the bake goes on: the control stays to compare with.
        return (state, ()) if state.paused else transitions.bake_ended(state, why, numbers)
    asked = Note(
        kind="PersonAsked",
        why="it was not promoted: look at its numbers; `promote` offers it again, `retrain` makes another",
        release=state.candidate,
        run=state.run,
        numbers=numbers,
    )
    state, shifts = transitions.taken_out(state, why, numbers)
    return state, (*shifts, asked)
