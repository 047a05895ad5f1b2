"""Stories of the rollout machine: events in, shifts out."""

from __future__ import annotations

import msgspec
import pytest

from serving.canary import ChampionSet, Shift
from streams.events import ArmEvidence
from tests.core.rollout_story import POLICY, T0, Story


def test_registration_makes_generation_one() -> None:
    """The first champion serves alone; a second registration is refused."""
    story = Story()
    assert (story.state.generation, story.state.champion, story.state.phase) == (1, "old", "idle")
    (note,) = story.tell(ChampionSet("other", T0))
    assert note.kind == "Refused"
    assert story.state.champion == "old"


def test_an_identical_candidate_is_promoted_through_every_step() -> None:
    """Never different: shadow, 10 %, 50 %, promoted, bake; each change of roles is one generation."""
    story = Story()
    story.ready()
    shares, generations = [], [story.state.generation]
    for kind in ("StepTaken", "StepTaken", "Promoted", "BakeEnded"):
        story.until(kind, worse=0.0, better=0.0)
        shares.append(story.state.share)
        generations.append(story.state.generation)
    assert story.kinds() == ["ShadowStarted", "StepTaken", "StepTaken", "Promoted", "BakeEnded"]
    assert shares == [0.1, 0.5, 0.0, 0.0]
    assert generations == [2, 3, 4, 5, 6]
    assert (story.state.champion, story.state.candidate, story.state.control) == ("new", "", "")


def test_a_promotion_says_what_was_proved_and_what_was_not() -> None:
    """Loss by its margin and e-value; failures and latency only watched."""
    story = Story()
    story.promoted()
    why = next(command.why for command in story.said if command.kind == "Promoted")
    assert "less than 0.06 worse" in why
    assert "not proved: failures and latency" in why


def test_the_previous_champion_stays_as_control_until_the_bake_ends() -> None:
    """Through the bake the route names it."""
    story = Story()
    story.promoted()
    assert (story.state.phase, story.state.champion, story.state.control) == ("baking", "new", "old")
    story.until("BakeEnded", worse=0.05, better=0.05)
    assert story.state.control == ""
    assert story.state.served == ("old",)


def test_a_worse_candidate_is_rejected_in_shadow_and_never_answers() -> None:
    """Fifteen points worse."""
    story = Story()
    story.ready()
    shift = story.until("CandidateRejected", worse=0.2, better=0.05)
    assert "worse" in shift.why
    assert story.kinds() == ["ShadowStarted", "CandidateRejected"]
    assert (story.state.champion, story.state.candidate, story.state.phase) == ("old", "", "idle")


def test_an_undecided_candidate_is_rejected_after_the_policys_rows() -> None:
    """Exactly between equal and the margin, with little power: absence of evidence never promotes."""
    story = Story(msgspec.structs.replace(POLICY, shadow_least_rows=0, shadow_rows=60, margin=0.02))
    story.ready()
    shift = story.until("CandidateRejected", worse=0.1, better=0.1)
    assert "inconclusive" in shift.why
    assert shift.numbers["labelled"] == 60


@pytest.mark.parametrize(("worse", "better", "verdict"), [(60, 0, "CandidateRejected"), (0, 60, "StepTaken")])
def test_shadow_judges_the_loss_only_on_a_whole_season_of_rows(worse: int, better: int, verdict: str) -> None:
    """However clear the first rows of a day are, either way; nothing is risked in shadow meanwhile."""
    story = Story(msgspec.structs.replace(POLICY, shadow_least_rows=100))
    story.ready()
    story.rows(80, worse=worse, better=better)
    assert story.kinds() == ["ShadowStarted"]
    story.rows(20)
    assert story.kinds() == ["ShadowStarted", verdict]


def test_a_candidate_that_fails_leaves_shadow_at_once() -> None:
    """The wait is for the loss alone."""
    story = Story(msgspec.structs.replace(POLICY, shadow_least_rows=100_000))
    story.ready()
    for _ in range(20):
        last = story.record()
        before = {arm.arm: arm for arm in last.arms}
        tries = (before["candidate"].failures if before else 0) + 50
        event = story.record(
            covers={"labels-0": last.covers["labels-0"] + 1},
            arms=(
                ArmEvidence(arm="champion", release="old", answered=tries, scored=tries),
                ArmEvidence(arm="candidate", release="new", failures=tries),
            ),
        )
        story.sent[(event.generation, event.step, event.arm)] = event
        story.tell(event)
        if "CandidateRejected" in story.kinds():
            break
    assert story.kinds() == ["ShadowStarted", "CandidateRejected"]
    assert "failures" in story.said[-1].why


def test_a_candidate_that_turns_worse_in_a_step_is_rolled_back() -> None:
    """The paired loss keeps counting after shadow."""
    story = Story()
    story.ready()
    story.until("StepTaken", worse=0.03, better=0.05)
    shift = story.until("RolledBack", worse=0.6, better=0.0)
    assert (shift.release, story.state.champion, story.state.share) == ("new", "old", 0.0)


def test_a_step_needs_its_exposure() -> None:
    """Proved no worse, but with fewer rows answered than the policy asks, or hardly any by the candidate, nothing moves."""
    story = Story()
    story.ready()
    story.until("StepTaken", worse=0.0, better=0.1)
    assert not any(isinstance(command, Shift) for command in story.rows(99))
    assert [command.kind for command in story.rows(1)] == ["StepTaken"]
    for _ in range(5):
        assert [command.kind for command in story.rows(100, of_candidate=1)] == ["EvidenceNoted"]


def test_the_bake_rolls_back_to_the_control() -> None:
    """The control is better now: the signs are turned, the old champion serves again, and the failed one is the last resort."""
    story = Story()
    story.promoted()
    shift = story.until("RolledBack", worse=0.0, better=0.5, limit=5)
    assert "old serves again" in shift.why
    assert (story.state.champion, story.state.control, story.state.phase) == ("old", "", "idle")
    assert story.state.served == ("new",)


def test_failures_reject_a_candidate_without_labels() -> None:
    """Evidence without a single label, twenty failed rows."""
    story = Story()
    story.ready()
    arms = (
        ArmEvidence(arm="champion", release="old", answered=20, scored=20),
        ArmEvidence(arm="candidate", release="new", failures=20),
    )
    first = tuple(msgspec.structs.replace(arm, answered=0, scored=arm.scored // 4, failures=arm.failures // 4) for arm in arms)
    story.tell(story.record(covers={"predictions-0": 5}, arms=first))
    (shift,) = story.tell(story.record(covers={"predictions-0": 20}, arms=arms))
    assert shift.kind == "CandidateRejected"
    assert "failures" in shift.why
