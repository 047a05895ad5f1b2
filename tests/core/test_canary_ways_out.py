"""Deadlines, people, and candidates that wait."""

from __future__ import annotations

import msgspec
import pytest

from serving.canary import Note, Shift
from serving.rollout import SERVED_LIMIT
from tests.core.rollout_story import POLICY, T0, Story, back, tick


def test_the_deadline_rolls_back_a_step_and_ends_a_bake() -> None:
    """A step keeps the clock of its shadow; the bake's runs from the controller time of the promotion."""
    story = Story()
    story.ready()
    story.until("StepTaken", worse=0.0, better=0.1)
    shift, asked = story.tell(tick(T0 + POLICY.deadline))
    assert (shift.kind, asked.kind) == ("RolledBack", "PersonAsked")
    story = Story()
    promoted_at = T0 + POLICY.deadline / 2
    story.tell(tick(promoted_at))
    story.promoted()
    assert story.tell(tick(T0 + POLICY.deadline)) == ()
    (shift,) = story.tell(tick(promoted_at + POLICY.deadline))
    assert (shift.kind, story.state.champion) == ("BakeEnded", "new")


def test_a_person_takes_a_candidate_out() -> None:
    """In shadow it is rejected, in a step rolled back; the reason is theirs."""
    story = Story()
    story.ready()
    (shift,) = story.tell(back())
    assert (shift.kind, story.state.phase) == ("CandidateRejected", "idle")
    assert "ada" in shift.why
    story.ready("newer")
    story.until("StepTaken", worse=0.0, better=0.1)
    (shift,) = story.tell(back())
    assert (shift.kind, story.state.champion) == ("RolledBack", "old")


def test_a_person_goes_back_to_a_release_that_served() -> None:
    """By name, or to the one before; in the bake, and idle."""
    story = Story()
    story.promoted("second")
    story.until("BakeEnded", worse=0.0, better=0.0)
    story.promoted("third")
    (shift,) = story.tell(back("old"))
    assert (shift.kind, shift.release, story.state.champion, story.state.phase) == ("RolledBack", "third", "old", "idle")
    story.tell(back())
    assert story.state.champion == "second"


@pytest.mark.parametrize("to", ["", "stranger", "old"])
def test_a_rollback_to_nowhere_is_refused(to: str) -> None:
    """None served before, never served, serves already: a reason, and nothing moves."""
    story = Story()
    before = story.state
    (note,) = story.tell(back(to))
    assert note.kind == "Refused"
    assert story.state == before


def test_a_candidate_waits_while_another_is_tried_and_a_newer_one_takes_its_place() -> None:
    """When the bake is over the newest starts by itself; the displaced one is rejected with its run."""
    story = Story()
    story.promoted("first")
    assert [command.kind for command in story.ready("second")] == ["CandidateQueued"]
    out, waits = story.ready("third")
    assert (out.kind, out.release, waits.kind) == ("CandidateRejected", "second", "CandidateQueued")
    generation = story.state.generation
    commands: tuple[Shift | Note, ...] = ()
    while story.state.phase == "baking":
        commands = story.rows(20)
    assert [command.kind for command in commands] == ["BakeEnded", "ShadowStarted"]
    assert (story.state.candidate, story.state.run, story.state.queued) == ("third", "run-third", None)
    assert story.state.generation == generation + 2


def test_a_release_that_serves_already_is_no_candidate() -> None:
    """Equal digests: the run ends, nothing moves."""
    story = Story()
    before = story.state
    (shift,) = story.ready("old")
    assert shift.kind == "CandidateRejected"
    assert story.state.generation == before.generation


def test_memory_of_releases_is_bounded() -> None:
    """The oldest is forgotten first."""
    story = Story()
    story.state = msgspec.structs.replace(story.state, served=tuple(f"r{i}" for i in range(SERVED_LIMIT)))
    story.promoted()
    assert len(story.state.served) == SERVED_LIMIT
    assert story.state.served[-1] == "old"
