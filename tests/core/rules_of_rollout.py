"""Rules that a planted bug in the rollout breaks, each asked in the smallest direct call: True where it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from serving.rollout import Held
from streams.events import Override
from tests.core.control_log import EVENT_T0, ControlLog, evidence, finished, registered, retrain
from tests.core.rollout_story import POLICY, T0, Story, back, tick


def in_shadow() -> Story:
    """A candidate scored beside the champion."""
    story = Story()
    story.ready()
    return story


def in_a_step() -> Story:
    """It answers its first share."""
    story = in_shadow()
    story.until("StepTaken", worse=0.0, better=0.1)
    return story


def baking() -> Story:
    """It serves, with the champion before it as its control."""
    story = Story()
    story.promoted()
    return story


def totals_count_once() -> bool:
    story = in_shadow()
    for _ in range(2):
        story.rows(20)
    return story.state.wealths.rows == 40


def evidence_told_again_counts_once() -> bool:
    story = in_shadow()
    story.rows(20)
    told = story.record()
    story.rows(20)
    story.tell(told)
    return story.state.wealths.rows == 40


def more_wins_than_rows_are_refused() -> bool:
    return [command.kind for command in in_shadow().rows(10, better=1_000)] == ["Refused"]


def late_labels_count_for_no_other_candidate() -> bool:
    story = in_shadow()
    late = story.record(covers={"labels-0": 9}, n=9)
    story.tell(back())
    story.ready("newer")
    story.tell(late)
    return story.state.wealths.rows == 0


def shadow_waits_for_enough_rows() -> bool:
    story = in_shadow()
    few = POLICY.shadow_least_rows // 2
    story.rows(few, better=few // 2)
    return story.state.phase == "shadow"


def a_candidate_that_never_answers_goes_no_further() -> bool:
    story = in_a_step()
    story.rows(200, better=20, of_candidate=0)
    return story.state.step == 1


def a_champion_worse_than_its_control_goes() -> bool:
    story = baking()
    story.rows(60, worse=0, better=50)  # the control loses less than the champion that replaced it
    return story.state.champion == "old"


def silence_promotes_nobody() -> bool:
    story = in_a_step()
    story.tell(tick(T0 + POLICY.deadline))
    return story.state.champion == "old"


def a_deadline_ends_a_rollout() -> bool:
    story = in_a_step()
    story.tell(tick(T0 + POLICY.deadline))
    return story.state.phase == "idle"


def taking_a_candidate_out_is_a_new_generation() -> bool:
    story = in_a_step()
    before = story.state.generation
    story.tell(back())
    return story.state.generation == before + 1


def a_candidate_taken_out_stays_out() -> bool:
    story = in_a_step()
    story.tell(back())
    return story.state.candidate == "" and story.state.queued is None


def a_champion_taken_out_is_the_last_resort() -> bool:
    story = Story()
    story.promoted("second")
    story.until("BakeEnded", worse=0.0, better=0.0)
    story.promoted("third")
    for _ in range(2):
        story.tell(back())
    return story.state.champion == "old"


def a_held_candidate_waits() -> bool:
    story = in_shadow()
    story.tell(Held(on=True, at=T0))
    story.rows(300, better=40)
    return story.state.step == 0


def a_candidate_that_waits_gets_its_turn() -> bool:
    story = in_shadow()
    story.ready("newer")
    story.tell(back())
    return story.state.candidate == "newer"


def an_override_proves_nothing() -> bool:
    return all(_needs_proof_after_override(passed=passed) for passed in (True, False))


def _needs_proof_after_override(*, passed: bool) -> bool:
    log = ControlLog()
    log.tell(registered())
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run, passed=passed))
    log.tell(Override(id="o", at=EVENT_T0, model="m", actor="ada", reason="because", release="second"))
    return log.tell(evidence(log.routes[-1], 20, answered=400)) == ["EvidenceNoted"]


RULES: Final[dict[str, Callable[[], bool]]] = {
    "totals_taken_for_increments": totals_count_once,
    "falling_counts_begin_anew": evidence_told_again_counts_once,
    "impossible_counts_pass": more_wins_than_rows_are_refused,
    "late_labels_count_for_another": late_labels_count_for_no_other_candidate,
    "few_rows_suffice": shadow_waits_for_enough_rows,
    "step_without_exposure": a_candidate_that_never_answers_goes_no_further,
    "bake_upside_down": a_champion_worse_than_its_control_goes,
    "silence_promotes": silence_promotes_nobody,
    "rollout_without_deadline": a_deadline_ends_a_rollout,
    "out_without_a_new_generation": taking_a_candidate_out_is_a_new_generation,
    "taken_out_comes_back": a_candidate_taken_out_stays_out,
    "back_to_the_bad_one": a_champion_taken_out_is_the_last_resort,
    "step_while_held": a_held_candidate_waits,
    "queue_lost": a_candidate_that_waits_gets_its_turn,
    "override_is_proof": an_override_proves_nothing,
}
