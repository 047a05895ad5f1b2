"""What the evidence of a rollout means for it: a step forward, the way out, the end of its bake, or nothing yet.

The loss must be `NoWorse` now, and a step needs exposure: rows answered, the candidate's share among them. Failures and
latency can only stop. Held by a person, or without the word that a policy wants, nothing moves forward; ways back stay open.
"""

from __future__ import annotations

import math
from typing import Final, assert_never

import msgspec

from serving import evidence, transitions, verdict
from serving.rollout import Note, Rollout
from serving.transitions import Step
from serving.verdict import Inconclusive, NoWorse, Unmeasured, Verdict, Worse
from streams.policy import CanaryPolicy

_LEAST_OF_SHARE: Final = 0.5
"""The candidate must have answered at least so much of its share: one that always falls back proves nothing."""


def judged(state: Rollout, policy: CanaryPolicy) -> Step:
    """Act on the evidence counted so far: forward, out, over, or noted."""
    found = verdict.judge(state.wealths, policy, **_place(state, policy))
    numbers = numbers_of(state, policy)
    match state.phase:
        case "shadow" if _too_early(state, found, policy):
            pass
        case "shadow" | "stepping":
            if isinstance(found, Worse):
                return transitions.taken_out(state, f"worse than the champion: {found.metric}", numbers)
            if isinstance(found, NoWorse) and _exposed(state, policy) and not state.paused:
                return _asked(state, numbers) if _needs_word(state) else _forward(state, policy, numbers)
            undecided_at = policy.shadow_rows if state.phase == "shadow" else 2 * policy.shadow_rows
            if isinstance(found, Inconclusive) and state.wealths.rows >= undecided_at:
                return transitions.taken_out(state, f"inconclusive after {state.wealths.rows} labelled rows", numbers)
        case "baking":
            if isinstance(found, Worse):
                return transitions.serves_again(state, state.control, f"worse than its control: {found.metric}", numbers)
            watched = state.last_counted(state.generation, 0, "control").n
            if watched >= policy.bake_rows and not state.paused:
                return transitions.bake_ended(state, f"not found worse on {watched} labelled rows", numbers)
        case _:
            raise AssertionError("evidence is judged in a rollout only")
    return state, (Note(kind="EvidenceNoted", why=_said(found), release=state.tried, run=state.run, numbers=numbers),)


def _needs_word(state: Rollout) -> bool:
    return state.phase == "shadow" and state.asks


def _asked(state: Rollout, numbers: dict[str, float]) -> Step:
    """The candidate has proved itself in shadow: whether it may answer is a person's to say, and asked once."""
    release, run = state.candidate, state.run
    if state.asked:
        return state, (Note(kind="EvidenceNoted", why="waits for a person's word", release=release, run=run, numbers=numbers),)
    note = Note(kind="ApprovalWanted", why="proved in shadow; may it answer?", release=release, run=run, numbers=numbers)
    return msgspec.structs.replace(state, asked=True), (note,)


def _too_early(state: Rollout, found: Verdict, policy: CanaryPolicy) -> bool:
    """Whether only the loss speaks, and on too few rows of a stream whose labels depend on each other."""
    by_failing = isinstance(found, Worse) and found.metric != "loss"
    return state.wealths.rows < policy.shadow_least_rows and not by_failing


def _place(state: Rollout, policy: CanaryPolicy) -> dict[str, int]:
    if state.phase == "baking":
        return {"stage": 0, "stages": 1}
    split = sum(1 for share in policy.steps if share < 1.0)
    return {"stage": min(state.step, split), "stages": split + 1}


def numbers_of(state: Rollout, policy: CanaryPolicy) -> dict[str, float]:
    """The figures behind the verdict on it now."""
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
