"""What people say to a model: hold, resume, agree, offer, override; and what none of it can do."""

from __future__ import annotations

import msgspec
import pytest

from streams.events import Approve, Override, Pause, Promote, Resume, RollBack, TrainingFinished
from tests.core.control_log import (
    EVENT_T0,
    POLICY,
    ControlLog,
    evidence,
    finished,
    losses,
    promote,
    registered,
    retrain,
    stale_until_bought,
)

_BY = {"at": EVENT_T0, "model": "m", "actor": "ada", "reason": "because"}


def pause(number: int = 1) -> Pause:
    return Pause(id=f"pause-{number}", **_BY)  # type: ignore[arg-type]  # one dictionary for fields of several types


def resume(number: int = 1) -> Resume:
    return Resume(id=f"resume-{number}", **_BY)  # type: ignore[arg-type]


def override(release: str = "second") -> Override:
    return Override(id=f"override-{release}", release=release, **_BY)  # type: ignore[arg-type]


def offer(release: str) -> Promote:
    return Promote(id=f"offer-{release}", release=release, **_BY)  # type: ignore[arg-type]


def approve(decision: str) -> Approve:
    return Approve(id=f"approve-{decision}", decision=decision, **_BY)  # type: ignore[arg-type]


def started(autonomy: str = "auto") -> ControlLog:
    log = ControlLog()
    log.tell(registered(policy=msgspec.structs.replace(POLICY, autonomy=autonomy)))
    return log


def in_shadow(autonomy: str = "auto") -> ControlLog:
    log = started(autonomy)
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    assert log.routes[-1].candidate == "second"
    return log


def test_a_held_model_starts_nothing_and_moves_nothing_forward() -> None:
    """Neither a training that pays, nor a person's request, nor a candidate that has proved itself; until it may go on."""
    log = in_shadow()
    assert log.tell(pause()) == ["Paused"]
    generation = log.routes[-1].generation
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    assert log.tell(retrain("req-2")) == ["TrainingRefused"]
    assert log.routes[-1].generation == generation
    assert log.tell(resume()) == ["Resumed", "StepTaken"]
    # The control: the same evidence without a pause moves it at once.
    free = in_shadow()
    assert free.tell(evidence(free.routes[-1], 300, better=15, worse=5)) == ["StepTaken"]


def test_a_held_model_buys_no_training() -> None:
    """What would pay is said, and refused."""
    log = started()
    log.tell(pause())
    for period in range(60):
        log.tell(losses(period, 20 if period < 30 else 40))
    assert "TrainingBought" in log.kinds()
    assert "TrainingStarted" not in log.kinds()
    assert stale_until_bought(started())  # the control


def test_the_ways_back_stay_open_while_a_model_is_held() -> None:
    """A candidate that proves worse goes, and a person may go back."""
    log = in_shadow()
    promote(log)
    log.tell(pause())
    assert "RolledBack" in log.tell(RollBack(id="back", to="first", **_BY))  # type: ignore[arg-type]
    assert log.routes[-1].champion == "first"
    other = in_shadow()
    other.tell(evidence(other.routes[-1], 300, better=15, worse=5))
    other.tell(pause())
    assert "RolledBack" in other.tell(evidence(other.routes[-1], 400, worse=200, answered=400))


def test_a_candidate_that_comes_while_a_model_is_held_waits_for_its_turn() -> None:
    """It is not lost, and not tried before."""
    log = started()
    log.tell(retrain())
    run = log.decisions[-1].run
    log.tell(pause())
    assert log.tell(finished(run)) == ["TrainingEnded", "CandidateQueued"]
    assert log.tell(resume()) == ["Resumed", "ShadowStarted"]


def test_pausing_twice_is_once() -> None:
    """The second one changes nothing, and says so."""
    log = started()
    log.tell(pause(1))
    assert log.tell(pause(2)) == ["Refused"]
    assert log.tell(resume(1)) == ["Resumed"]
    assert log.tell(resume(2)) == ["Refused"]


@pytest.mark.parametrize("autonomy", ["observe", "suggest", "approve"])
def test_no_candidate_answers_without_a_persons_word_unless_the_policy_says_auto(autonomy: str) -> None:
    """Proved in shadow it waits; agreed to, it takes its first step; asked for once."""
    log = in_shadow(autonomy)
    assert log.tell(evidence(log.routes[-1], 300, better=15, worse=5)) == ["ApprovalWanted"]
    question = log.decisions[-1].id
    assert log.tell(evidence(log.routes[-1], 400, better=20, worse=5)) == ["EvidenceNoted"]
    assert log.tell(approve(question)) == ["Approved", "StepTaken"]
    assert log.tell(approve("another")) == ["Refused"]


def test_what_autonomy_makes_of_a_training_that_pays() -> None:
    """observe says it, suggest asks and buys on a person's word, approve and auto buy."""
    found = {}
    for autonomy in ("observe", "suggest", "approve", "auto"):
        log = started(autonomy)
        for period in range(60):
            log.tell(losses(period, 20 if period < 30 else 40))
        found[autonomy] = [kind for kind in log.kinds() if kind in {"ApprovalWanted", "TrainingStarted"}]
        if autonomy == "suggest":
            question = next(one.id for one in log.decisions if one.kind == "ApprovalWanted")
            assert log.tell(approve(question)) == ["Approved", "TrainingStarted"]
    assert found == {"observe": [], "suggest": ["ApprovalWanted"], "approve": ["TrainingStarted"], "auto": ["TrainingStarted"]}


def test_an_override_lets_a_refused_candidate_into_its_first_step_and_the_losses_take_it_out() -> None:
    """Past gate and shadow, with a person's name on it; never past the paired losses, and never a second time."""
    log = started()
    log.tell(retrain())
    assert log.tell(finished(log.decisions[-1].run, passed=False)) == ["TrainingEnded"]
    assert log.tell(override()) == ["GateOverridden", "StepTaken"]
    assert "ada" in log.decisions[-2].why
    route = log.routes[-1]
    assert (route.candidate, route.share, route.step) == ("second", POLICY.canary.steps[0], 1)
    assert log.tell(evidence(route, 100, worse=60, better=5, answered=100)) == ["RolledBack"]
    assert log.routes[-1].candidate == ""
    again = msgspec.structs.replace(override(), id="again")
    assert log.tell(again) == ["Refused"]


def test_an_overridden_candidate_goes_on_only_with_proof() -> None:
    """No later step, and no promotion, comes by the override."""
    log = in_shadow()
    assert log.tell(override()) == ["ShadowOverridden", "StepTaken"]
    assert log.tell(evidence(log.routes[-1], 20, answered=400)) == ["EvidenceNoted"]
    assert log.tell(evidence(log.routes[-1], 400, better=20, worse=5, answered=800)) == ["StepTaken"]


def test_an_override_of_a_candidate_that_waits_keeps_its_place_and_its_run() -> None:
    """It is not thrown out to make room for itself, and begins with its first step when its turn comes."""
    log = in_shadow()
    log.tell(retrain("req-2"))
    run = log.decisions[-1].run
    assert log.tell(finished(run, "third")) == ["TrainingEnded", "CandidateQueued"]
    assert log.tell(override("third")) == ["GateOverridden", "CandidateQueued"]
    assert log.tell(RollBack(id="out", **_BY)) == ["CandidateRejected", "StepTaken"]  # type: ignore[arg-type]
    assert (log.routes[-1].candidate, log.decisions[-1].run) == ("third", run)


@pytest.mark.parametrize("release", ["first", "nobody's"])
def test_an_override_names_a_candidate_that_a_run_made(release: str) -> None:
    """Not any digest: what serves must follow from runs on record."""
    log = in_shadow()
    assert log.tell(override(release)) == ["Refused"]
    assert log.routes[-1].step == 0


def test_a_release_that_is_offered_goes_the_same_way_and_costs_no_account() -> None:
    """Shadow, steps, promotion; refused while it serves already; a rejection is no sunk price."""
    log = started()
    assert log.tell(offer("first")) == ["Refused"]
    assert log.tell(offer("twin")) == ["CandidateOffered", "ShadowStarted"]
    for rows in (300, 500, 800):
        log.tell(evidence(log.routes[-1], rows, answered=rows))
    promote(log)
    assert log.routes[-1].champion == "twin"
    worse = started()
    worse.tell(offer("bad"))
    before = next(iter(worse.state.models.values())).staleness
    assert worse.tell(evidence(worse.routes[-1], 300, worse=200)) == ["CandidateRejected"]
    assert next(iter(worse.state.models.values())).staleness == before


def test_the_result_of_a_run_names_its_candidate_whatever_the_gate_said() -> None:
    """So that a person can look at what was refused."""
    log = started()
    log.tell(retrain())
    result: TrainingFinished = finished(log.decisions[-1].run, passed=False)
    log.tell(result)
    assert log.decisions[-1].release == "second"
    assert log.routes[-1].candidate == ""


def test_a_decision_that_changes_the_route_names_who_serves_from_there_on() -> None:
    """So that the history of what served when needs nothing else."""
    log = in_shadow()
    promote(log)
    log.tell(RollBack(id="back", to="first", **_BY))  # type: ignore[arg-type]
    served = [decision.champion for decision in log.decisions if decision.champion]
    assert served[0] == "first"
    assert served[-2:] == ["second", "first"]
