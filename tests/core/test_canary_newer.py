"""Candidates that meet: a newer one waits or replaces, as the policy says, and every one that is tried comes to a verdict."""

from __future__ import annotations

import msgspec
import pytest

from streams.events import EvidenceGathered
from tests.core.rollout_story import POLICY, T0, Story, tick

REPLACES = msgspec.structs.replace(POLICY, newer="replaces")


def test_a_newer_candidate_replaces_one_in_shadow_only() -> None:
    """In a step the one that is tried goes on, the newer waits."""
    story = Story(REPLACES)
    story.ready("a")
    assert [command.kind for command in story.ready("b")] == ["CandidateRejected", "ShadowStarted"]
    assert story.state.candidate == "b"
    story.until("StepTaken", worse=0.0, better=0.1)
    assert [command.kind for command in story.ready("c")] == ["CandidateQueued"]


@pytest.mark.parametrize("policy", [POLICY, REPLACES])
def test_candidates_that_come_faster_than_verdicts_do_not_starve_each_other(policy) -> None:  # type: ignore[no-untyped-def]
    """A new one after every lot of evidence: verdicts are reached all the same."""
    story = Story(policy)
    for number in range(60):
        story.ready(f"c{number}")
        assert story.state.candidate or story.state.phase == "baking"
        story.rows(20, better=2)
    assert story.kinds().count("Promoted") >= 1


def test_every_candidate_has_left_by_its_deadline() -> None:
    """With no evidence at all, one deadline each."""
    story = Story(REPLACES)
    story.ready("a")
    story.ready("b")
    story.ready("c")  # waits: b replaced a
    story.tell(tick(T0 + POLICY.deadline))
    assert story.state.candidate == "c"
    story.tell(tick(T0 + 2 * POLICY.deadline))
    assert (story.state.phase, story.state.champion) == ("idle", "old")
    assert [note.kind for note in story.said].count("PersonAsked") == 2


def test_a_replaced_candidates_evidence_does_not_count_for_its_successor() -> None:
    """Each is judged on its own pairs."""
    story = Story(REPLACES)
    story.ready("a")
    story.rows(80, better=20)
    late: EvidenceGathered = story.record()
    story.ready("b")
    story.tell(
        msgspec.structs.replace(
            late, covers={"labels-0": 10_000}, n=400, better=100, difference_squared=100 * 2**20, difference=-100 * 2**20
        )
    )
    assert story.state.wealths.rows == 0
