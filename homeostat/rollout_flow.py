"""Candidates and evidence in, routes out: the rollout machine, and what its outcome means for the staleness account."""

from __future__ import annotations

from typing import Final

import msgspec

from drift import staleness
from drift.staleness import ChampionReplaced, RunRefused
from homeostat.model_state import Arrival, Draft, ModelState, Step
from serving import canary
from serving.canary import CandidateReady, Shift
from streams.events import EvidenceGathered, RollBack, Ticked

_REFUSED: Final = frozenset({"CandidateRejected", "RolledBack"})


def candidate_ready(state: ModelState, release: str, run: str, arrival: Arrival) -> Step:
    """A candidate passed its gate."""
    return _step(state, CandidateReady(release=release, run=run, at=arrival.at))


def rollout_event(state: ModelState, event: EvidenceGathered | RollBack | Ticked, arrival: Arrival) -> Step:
    """Evidence, a person's rollback, or the clock. Whatever comes, controller time is the arrival's."""
    clock = arrival.at if state.rollout.clock is None else max(state.rollout.clock, arrival.at)
    return _step(msgspec.structs.replace(state, rollout=msgspec.structs.replace(state.rollout, clock=clock)), event)


def _step(state: ModelState, event: canary.Event) -> Step:
    rollout, commands = canary.advance(state.rollout, event, state.policy.canary)
    state = msgspec.structs.replace(state, rollout=rollout)
    drafts = []
    for command in commands:
        drafts.append(
            Draft(kind=command.kind, why=command.why, numbers=dict(command.numbers), release=command.release, run=command.run)
        )
        if isinstance(command, Shift):
            state = _account(state, command)
    return state, tuple(drafts)


def _account(state: ModelState, shift: Shift) -> ModelState:
    if shift.kind == "Promoted":
        account, _ = staleness.advance(state.staleness, ChampionReplaced(), state.policy.staleness)
    elif shift.kind in _REFUSED:
        account, _ = staleness.advance(state.staleness, RunRefused(), state.policy.staleness)
    else:
        return state
    return msgspec.structs.replace(state, staleness=account)
