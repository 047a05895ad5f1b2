"""How the roles change: each move returns the next rollout and the shift that says so. When to move is `canary`'s to decide."""

from __future__ import annotations

from datetime import datetime

import msgspec

from serving.rollout import SERVED_LIMIT, Command, Kind, Note, Rollout, Shift, Stage, Waiting
from serving.verdict import Wealths, next_step
from streams.events import RollBack

Step = tuple[Rollout, tuple[Command, ...]]


def tried(state: Rollout, candidate: Waiting, at: datetime | None, first_share: float) -> Step:
    """A candidate's rollout begins: in shadow, or, where a person overrides that, with its first share of rows."""
    state, started = shadow_started(state, candidate, at)
    if not candidate.straight or first_share >= 1.0:  # nobody goes straight to everybody
        return state, started
    return step_taken(state, first_share, "a person overrides gate and shadow", {})


def shadow_started(state: Rollout, candidate: Waiting, at: datetime | None) -> Step:
    """The candidate is scored beside the champion on every row."""
    generation = state.generation + 1
    state = msgspec.structs.replace(
        state,
        phase="shadow",
        generation=generation,
        candidate=candidate.release,
        run=candidate.run,
        since=at,
        wealths=Wealths(),
        stages=(Stage(generation=generation, step=0, share=0.0),),
        counted=(),
        asks=candidate.asks,
        asked=False,
        replaced=False,
        bought=candidate.bought,
    )
    why = "scored beside the champion on every row, answers none"
    return state, (_shift(state, "ShadowStarted", why, state.candidate, {}),)


def step_taken(state: Rollout, share: float, why: str, numbers: dict[str, float]) -> Step:
    """The candidate answers a larger share."""
    step, generation = state.step + 1, state.generation + 1
    state = msgspec.structs.replace(
        state,
        phase="stepping",
        generation=generation,
        step=step,
        share=share,
        stages=(*state.stages, Stage(generation=generation, step=step, share=share)),
        wealths=next_step(state.wealths),
    )
    why = f"{why}; it answers {share:.0%} of rows"
    return state, (_shift(state, "StepTaken", why, state.candidate, numbers),)


def promoted(state: Rollout, why: str, numbers: dict[str, float]) -> Step:
    """The candidate serves; the champion before it stays in shadow as its control."""
    shift = _shift(state, "Promoted", why, state.candidate, numbers)
    generation = state.generation + 1
    served = tuple(release for release in state.served if release not in (state.champion, state.candidate))
    state = msgspec.structs.replace(
        state,
        phase="baking",
        generation=generation,
        champion=state.candidate,
        candidate="",
        step=0,
        share=0.0,
        control=state.champion,
        since=state.clock,
        served=(*served, state.champion)[-SERVED_LIMIT:],
        wealths=Wealths(),
        stages=(*state.stages, Stage(generation=generation, step=0, share=0.0, arm="control")),
    )
    return state, (shift,)


def taken_out(state: Rollout, why: str, numbers: dict[str, float]) -> Step:
    """The candidate goes, the champion serves alone: rejected out of shadow, rolled back once it has answered."""
    kind: Kind = "CandidateRejected" if state.phase == "shadow" else "RolledBack"
    return _idle(state, state.champion), (_shift(state, kind, why, state.candidate, numbers),)


def bake_ended(state: Rollout, why: str, numbers: dict[str, float]) -> Step:
    """The control goes; the promotion stands."""
    return _idle(state, state.champion), (_shift(state, "BakeEnded", why, state.champion, numbers),)


def serves_again(state: Rollout, release: str, why: str, numbers: dict[str, float]) -> Step:
    """A release that served before serves again; the one taken out is remembered as the last resort."""
    out = state.champion
    shift = _shift(state, "RolledBack", f"{why}; {release[:12]} serves again", out, numbers)
    others = tuple(name for name in state.served if name not in (release, out))
    return msgspec.structs.replace(_idle(state, release), served=(out, *others)[-SERVED_LIMIT:]), (shift,)


def rolled_back_by_person(state: Rollout, event: RollBack) -> Step:
    """The candidate out; or, where none is tried (or another release is named), an earlier release back."""
    trying = state.phase in ("shadow", "stepping")
    if trying and event.to in ("", state.champion):
        return taken_out(state, event.words, {})
    to = event.to or (state.served[-1] if state.served else "")
    refusal = _cannot_restore(state, to)
    if refusal:
        return state, (Note(kind="Refused", why=refusal, release=event.to),)
    first: tuple[Command, ...] = ()
    if trying:
        state, first = taken_out(state, event.words, {})
    state, then = serves_again(state, to, event.words, {})
    return state, (*first, *then)


def _shift(state: Rollout, kind: Kind, why: str, release: str, numbers: dict[str, float]) -> Shift:
    """A shift of the present rollout."""
    return Shift(kind=kind, why=why, release=release, run=state.run, numbers=numbers, bought=state.bought)


def _cannot_restore(state: Rollout, to: str) -> str:
    if not to:
        return "no release served before this one, so there is none to go back to"
    if to == state.champion:
        return f"release {to[:12]} serves already"
    if to not in state.served:
        return f"release {to[:12]} never served this model (or too long ago): retrain, so that it comes in as a candidate"
    return ""


def _idle(state: Rollout, champion: str) -> Rollout:
    return msgspec.structs.replace(
        state,
        phase="idle",
        generation=state.generation + 1,
        champion=champion,
        candidate="",
        step=0,
        share=0.0,
        control="",
        run="",
        since=state.clock,
        wealths=Wealths(),
        stages=(),
        counted=(),
        asks=False,
        asked=False,
        replaced=False,
        bought=True,
    )


def with_queued(state: Rollout, commands: tuple[Command, ...], first_share: float) -> Step:
    """Once nothing is tried any more, the candidate that waits gets its turn, unless a person holds everything."""
    waiting = state.queued
    if waiting is None or state.phase != "idle" or state.paused:
        return state, commands
    state = msgspec.structs.replace(state, queued=None)
    if waiting.release == state.champion:
        why = "it is the release that serves already"
        out = Shift(kind="CandidateRejected", why=why, release=waiting.release, run=waiting.run, bought=waiting.bought)
        return state, (*commands, out)
    state, started = tried(state, waiting, state.clock, first_share)
    return state, (*commands, *started)
