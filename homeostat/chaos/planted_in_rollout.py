"""Bugs of the rollout: evidence, verdicts, and the ways in, forward and out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from homeostat.chaos.planting import Planted, all_replaced, replaced
from serving import canary, evidence, judging, transitions
from serving.bets import NO_WORSE_START
from serving.evidence import Counted, Increment
from serving.rollout import Note, Rollout, Stage, Waiting
from serving.transitions import Step
from streams.events import EvidenceGathered
from streams.policy import CanaryPolicy

_CERTAIN: Final = 50.0
"""Log wealth that later evidence hardly takes away."""


def _nothing_counted(last: Counted) -> Counted:
    return Counted(generation=last.generation, step=last.step, arm=last.arm, covers={})


def _totals_taken_for_increments(sound: Callable[..., object]) -> Callable[..., object]:
    return lambda event, last: sound(event, _nothing_counted(last))


def _falling_counts_begin_anew(sound: Callable[..., object]) -> Callable[..., object]:
    def increment_of(event: EvidenceGathered, last: Counted) -> object:
        return sound(event, _nothing_counted(last) if event.n < last.n else last)

    return increment_of


def _impossible_counts_pass(_: object) -> Callable[..., bool]:
    return lambda *_: True


def _late_labels_count_for_another(sound: Callable[..., Stage | Note]) -> Callable[..., Stage | Note]:
    def stage_of(state: Rollout, event: EvidenceGathered) -> Stage | Note:
        found = sound(state, event)
        over = isinstance(found, Note) and event.generation < state.generation
        return state.stages[-1] if over and state.stages else found

    return stage_of


def _few_rows_suffice(_: object) -> Callable[..., bool]:
    return lambda *_: False


def _step_without_exposure(_: object) -> Callable[..., bool]:
    return lambda *_: True


def _bake_upside_down(_: object) -> Callable[[Increment], Increment]:
    return lambda increment: increment


def _silence_promotes(sound: Callable[..., Step]) -> Callable[..., Step]:
    def ticked(state: Rollout, at: datetime, policy: CanaryPolicy) -> Step:
        after, commands = sound(state, at, policy)
        if state.phase == "stepping" and after.phase == "idle":
            return transitions.promoted(state, "nothing spoke against it before the deadline", {})
        return after, commands

    return ticked


def _rollout_without_deadline(_: object) -> Callable[..., Step]:
    return lambda state, *_: (state, ())


def _out_without_a_new_generation(sound: Callable[..., Step]) -> Callable[..., Step]:
    def taken_out(state: Rollout, why: str, numbers: dict[str, float]) -> Step:
        after, commands = sound(state, why, numbers)
        return msgspec.structs.replace(after, generation=state.generation), commands

    return taken_out


def _taken_out_comes_back(sound: Callable[..., Step]) -> Callable[..., Step]:
    def taken_out(state: Rollout, why: str, numbers: dict[str, float]) -> Step:
        after, commands = sound(state, why, numbers)
        again = Waiting(release=state.candidate, run=state.run, asks=state.asks, bought=state.bought)
        once_more = state.phase == "stepping" and after.queued is None
        return (msgspec.structs.replace(after, queued=again) if once_more else after), commands

    return taken_out


def _back_to_the_bad_one(sound: Callable[..., Step]) -> Callable[..., Step]:
    def serves_again(state: Rollout, release: str, why: str, numbers: dict[str, float]) -> Step:
        after, commands = sound(state, release, why, numbers)
        out, *others = after.served
        return msgspec.structs.replace(after, served=(*others, out)), commands

    return serves_again


def _step_while_held(sound: Callable[..., Step]) -> Callable[..., Step]:
    def judged(state: Rollout, policy: CanaryPolicy) -> Step:
        after, commands = sound(msgspec.structs.replace(state, paused=False), policy)
        return msgspec.structs.replace(after, paused=state.paused), commands

    return judged


def _queue_lost(sound: Callable[..., Rollout]) -> Callable[..., Rollout]:
    return lambda state, champion: msgspec.structs.replace(sound(state, champion), queued=None)


def _proved(state: Rollout) -> Rollout:
    wealths = msgspec.structs.replace(state.wealths, loss_no_worse=tuple(_CERTAIN for _ in NO_WORSE_START))
    return msgspec.structs.replace(state, wealths=wealths)


def _shadow_overridden_is_proof(sound: Callable[..., Step]) -> Callable[..., Step]:
    def shadow_passed_over(state: Rollout, policy: CanaryPolicy) -> Step:
        after, commands = sound(state, policy)
        return _proved(after), commands

    return shadow_passed_over


def _gate_overridden_is_proof(sound: Callable[..., Step]) -> Callable[..., Step]:
    def tried(state: Rollout, candidate: Waiting, at: datetime | None, first_share: float) -> Step:
        after, commands = sound(state, candidate, at, first_share)
        return (_proved(after) if candidate.straight else after), commands

    return tried


IN_ROLLOUT: Final = (
    Planted(
        name="totals_taken_for_increments",
        what="Evidence is cumulative, but each record counts whole: the same labels count again and again.",
        plant=partial(replaced, evidence, "increment_of", _totals_taken_for_increments),
    ),
    Planted(
        name="falling_counts_begin_anew",
        what="Counts that fall are taken for a counter that began anew: what an agent tells again after a restart counts twice.",
        plant=partial(replaced, evidence, "increment_of", _falling_counts_begin_anew),
    ),
    Planted(
        name="impossible_counts_pass",
        what="Nobody checks that the sums fit the number of pairs: ten rows with a thousand wins promote a candidate.",
        plant=partial(replaced, evidence, "_possible", _impossible_counts_pass),
    ),
    Planted(
        name="late_labels_count_for_another",
        what="Evidence of a rollout that is over counts for the candidate that is tried now.",
        plant=partial(replaced, canary, "_stage_of", _late_labels_count_for_another),
    ),
    Planted(
        name="few_rows_suffice",
        what="Shadow does not wait for the least number of labelled rows: a handful of lucky ones lets a candidate answer.",
        plant=partial(replaced, judging, "_too_early", _few_rows_suffice),
    ),
    Planted(
        name="step_without_exposure",
        what="A step needs no rows that the candidate answered: one that always falls back is promoted.",
        plant=partial(replaced, judging, "_exposed", _step_without_exposure),
    ),
    Planted(
        name="bake_upside_down",
        what="In the bake the sign is not turned: a champion better than its control goes, and a worse one stays.",
        plant=partial(replaced, Increment, "from_the_other_side", _bake_upside_down),
    ),
    Planted(
        name="silence_promotes",
        what="A candidate that nothing spoke against when the deadline passes is promoted.",
        plant=partial(replaced, canary, "_ticked", _silence_promotes),
    ),
    Planted(
        name="rollout_without_deadline",
        what="The deadline of a rollout does nothing: an undecided candidate answers its share for ever.",
        plant=partial(replaced, canary, "_ticked", _rollout_without_deadline),
    ),
    Planted(
        name="out_without_a_new_generation",
        what="A candidate is taken out under the same generation: no route says so, and serving goes on with it.",
        plant=partial(replaced, transitions, "taken_out", _out_without_a_new_generation),
    ),
    Planted(
        name="taken_out_comes_back",
        what="A candidate rolled back out of a step is queued for another try.",
        plant=partial(replaced, transitions, "taken_out", _taken_out_comes_back),
    ),
    Planted(
        name="back_to_the_bad_one",
        what="A champion that was rolled back is remembered as the one that served last: the next rollback brings it back.",
        plant=partial(replaced, transitions, "serves_again", _back_to_the_bad_one),
    ),
    Planted(
        name="step_while_held",
        what="The pause is not looked at when evidence is judged: a held candidate steps forward.",
        plant=partial(replaced, judging, "judged", _step_while_held),
    ),
    Planted(
        name="queue_lost",
        what="When a rollout ends everything is reset, also the candidate that waits: a run's result is lost.",
        plant=partial(replaced, transitions, "_idle", _queue_lost),
    ),
    Planted(
        name="override_is_proof",
        what="A person's override counts as proof of the loss: exposure alone carries the candidate to the promotion.",
        plant=partial(
            all_replaced,
            partial(replaced, canary, "_shadow_passed_over", _shadow_overridden_is_proof),
            partial(replaced, transitions, "tried", _gate_overridden_is_proof),
        ),
    ),
)
