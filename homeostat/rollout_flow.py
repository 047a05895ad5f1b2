"""Candidates and evidence in, routes out: the rollout machine, and what its outcome means for the staleness account."""

from __future__ import annotations

from typing import Final

import msgspec

from drift.staleness import ChampionReplaced, RunRefused, TrainingTaken
from homeostat.account import accounted
from homeostat.model_state import Arrival, Draft, ModelState, Step
from serving import canary
from serving.canary import CandidateReady, Shift
from serving.rollout import SERVED_LIMIT

_REFUSED: Final = frozenset({"CandidateRejected", "RolledBack"})
_ANSWERED: Final = frozenset({"RolledBack", "Promoted"})


def candidate_ready(state: ModelState, release: str, run: str, arrival: Arrival) -> Step:
    """A candidate passed its gate."""
    asks = state.policy.autonomy != "auto"
    return rollout_event(state, CandidateReady(release=release, run=run, at=arrival.at, asks=asks), arrival)


def rollout_event(state: ModelState, event: canary.Event, arrival: Arrival) -> Step:
    """Whatever comes to the rollout, controller time is the arrival's."""
    clock = arrival.at if state.rollout.clock is None else max(state.rollout.clock, arrival.at)
    return _step(msgspec.structs.replace(state, rollout=msgspec.structs.replace(state.rollout, clock=clock)), event)


def word_wanted(state: ModelState) -> ModelState:
    """The policy wants a person's word from here on: also for who is tried or waits, unless a person brought it in."""
    rollout = state.rollout
    waiting = rollout.queued
    if waiting is not None and waiting.bought:
        waiting = msgspec.structs.replace(waiting, asks=True)
    asks = rollout.asks or (rollout.phase == "shadow" and rollout.bought)
    return msgspec.structs.replace(state, rollout=msgspec.structs.replace(rollout, asks=asks, queued=waiting))


def _step(state: ModelState, event: canary.Event) -> Step:
    served = state.rollout.champion
    rollout, commands = canary.advance(state.rollout, event, state.policy.canary)
    state = msgspec.structs.replace(state, rollout=rollout)
    drafts = []
    for command in commands:
        asks = command.run if command.kind == "ApprovalWanted" else ""
        drafts.append(
            Draft(
                kind=command.kind,
                why=command.why,
                numbers=dict(command.numbers),
                release=command.release,
                run=command.run,
                asks=asks,
            )
        )
        if isinstance(command, Shift):
            state = _account(state, command, served)
    return state, tuple(drafts)


def _account(state: ModelState, shift: Shift, served: str) -> ModelState:
    state = _recall_remembered(state, shift)
    if shift.kind in _ANSWERED:
        # It has answered: what the evidence says of it is no longer a person's to override.
        state = msgspec.structs.replace(state, made=tuple(one for one in state.made if one.run != shift.run))
    frozen = state.champion_frozen
    if shift.kind == "Promoted":
        return accounted(state, ChampionReplaced(frozen=frozen))
    if shift.kind in _REFUSED and shift.bought:
        # A run in flight is another one, and still under way.
        return accounted(state, RunRefused(frozen=frozen), *_under_way(state))
    if shift.kind == "RolledBack" and shift.release == served:
        # A person had brought it in: nothing that was bought is lost, and another serves all the same.
        return accounted(state, ChampionReplaced(frozen=frozen), *_under_way(state))
    return state


def _under_way(state: ModelState) -> tuple[TrainingTaken, ...]:
    return (TrainingTaken(),) if state.job.run else ()


def _recall_remembered(state: ModelState, shift: Shift) -> ModelState:
    """A recall that came to nothing is not repeated under this champion: nothing would ever be trained."""
    if shift.kind == "Promoted":
        return msgspec.structs.replace(state, recalled_in_vain=(), frozen_in_vain=False)
    if shift.kind in _REFUSED and shift.bought:
        state = msgspec.structs.replace(state, frozen_in_vain=shift.release in state.frozen)
    of_recall = shift.run != "" and shift.run == state.recall_run
    if of_recall and shift.kind in _REFUSED and shift.release not in state.recalled_in_vain:
        return msgspec.structs.replace(state, recalled_in_vain=(*state.recalled_in_vain, shift.release)[-SERVED_LIMIT:])
    return state
