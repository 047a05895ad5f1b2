"""What the rollout machine counts, drops and refuses; a snapshot goes on as if nothing had been."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from serving import canary
from serving.canary import Rollout
from streams.events import UNIT, ArmEvidence
from tests.core.rollout_story import POLICY, T0, Story, tick


def test_repeated_evidence_counts_once() -> None:
    """The same record again, or one that covers the same offsets, changes nothing."""
    story = Story()
    story.ready()
    story.rows(20, worse=2, better=1)
    before = story.state
    (note,) = story.tell(story.record())
    assert (note.kind, note.why) == ("EvidenceNoted", "repeats what was counted")
    assert story.state == before


def test_evidence_that_goes_back_is_refused() -> None:
    """One component lower (or missing), though another one advanced."""
    story = Story()
    story.ready()
    story.tell(story.record(covers={"labels-0": 50, "labels-1": 50}, n=10))
    before = story.state
    for covers in ({"labels-0": 49, "labels-1": 99}, {"labels-0": 60}):
        (note,) = story.tell(story.record(covers=covers, n=20))
        assert note.kind == "Refused"
        assert "covers" in note.why
    assert story.state == before


def test_how_evidence_is_cut_does_not_count_a_row_twice() -> None:
    """An agent that starts again and cuts elsewhere leads to the same count."""
    story = Story()
    story.ready()
    for n in (10, 25, 60):
        story.tell(
            story.record(covers={"labels-0": n}, n=n, worse=n // 10, difference=n // 10 * UNIT, difference_squared=n // 10 * UNIT)
        )
    assert (story.state.wealths.rows, story.state.wealths.squares) == (60, 6.0)


@pytest.mark.parametrize(
    "change",
    [
        {"n": -1},
        {"n": float("nan")},
        {"n": 10, "worse": 8, "better": 8},
        {"n": 10, "worse": 1, "difference": 5 * UNIT},
        {"n": 10, "worse": 1, "difference_squared": 2**60},
        {"n": 2**80},
        {"covers": {}},
        {"covers": {"labels-0": -4}},
        {"arms": (ArmEvidence(arm="candidate", release="new", failures=-3),)},
        {"arms": (ArmEvidence(arm="candidate", release="new"), ArmEvidence(arm="candidate", release="new"))},
        {"arms": (ArmEvidence(arm="champion", release="old", latency={10**9: 1}),)},
        {"arms": (ArmEvidence(arm="champion", release="old", latency={3: float("inf")}),)},  # type: ignore[dict-item]
        {"difference": float("inf")},
        {"release": "stranger"},
        {"champion": "stranger"},
        {"generation": 99},
    ],
)
def test_impossible_evidence_is_refused_with_a_reason(change: dict[str, Any]) -> None:
    """Never an exception, never counted."""
    story = Story()
    story.ready()
    before = story.state
    (note,) = story.tell(story.record(**{"covers": {"labels-0": 5}, **change}))
    assert note.kind == "Refused"
    assert note.why
    assert story.state == before


def test_counts_that_fall_are_refused() -> None:
    """Further offsets with fewer rows cannot be true."""
    story = Story()
    story.ready()
    story.rows(50, worse=3)
    (note,) = story.tell(story.record(covers={"labels-0": 80}, n=40))
    assert note.kind == "Refused"


def test_labels_of_an_earlier_step_still_count_for_the_loss() -> None:
    """They were predicted in shadow and come in the first step; the exposure of shadow does not count for the step."""
    story = Story()
    story.ready()
    late = story.record()
    story.until("StepTaken", worse=0.0, better=0.1)
    shadow = story.sent[(late.generation, 0, "candidate")]
    rows = story.state.wealths.rows
    failed = tuple(msgspec.structs.replace(arm, scored=10_000, failures=25) for arm in shadow.arms)
    (note,) = story.tell(msgspec.structs.replace(shadow, covers={"labels-0": 10_000}, n=shadow.n + 30, arms=failed))
    assert note.kind == "EvidenceNoted"
    assert story.state.wealths.rows == rows + 30
    assert (note.numbers["answered_in_step"], note.numbers["failed"]) == (0, 0)


def test_evidence_of_a_rollout_that_is_over_is_noted_only() -> None:
    """Late labels of a rejected candidate do not touch the next one."""
    story = Story()
    story.ready()
    story.rows(20)
    old = story.record()
    story.until("CandidateRejected", worse=0.6, better=0.0)
    story.ready("newer")
    before = story.state
    (note,) = story.tell(msgspec.structs.replace(old, covers={"labels-0": 5_000}, n=500))
    assert (note.kind, note.why) == ("EvidenceNoted", "of a rollout that is over")
    assert story.state == before


def test_the_deadline_ends_a_rollout_that_gets_no_evidence() -> None:
    """Controller time from the start of shadow; before it, a tick changes nothing."""
    story = Story()
    assert canary.next_deadline(story.state, POLICY) is None
    story.ready(at=T0)
    assert canary.next_deadline(story.state, POLICY) == T0 + POLICY.deadline
    assert story.tell(tick(T0 + POLICY.deadline - timedelta(seconds=1))) == ()
    shift, asked = story.tell(tick(T0 + POLICY.deadline))
    assert (shift.kind, asked.kind, story.state.phase) == ("CandidateRejected", "PersonAsked", "idle")
    assert "deadline" in shift.why


def test_a_restored_snapshot_goes_on_identically() -> None:
    """Encoded and decoded after every record, the machine says and becomes the same."""
    plain, restored = Story(), Story()
    for story in (plain, restored):
        story.ready()
    for index in range(40):
        worse, better = index % 3 == 0, index % 2 == 0
        for story in (plain, restored):
            story.rows(20, worse=int(worse), better=2 * int(better))
        restored.state = msgspec.msgpack.decode(msgspec.msgpack.encode(restored.state), type=Rollout)
        assert restored.state == plain.state
    assert [replace(command) for command in restored.said] == plain.said
    assert "Promoted" in plain.kinds()
