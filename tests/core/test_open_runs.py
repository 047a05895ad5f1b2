"""Which orders the trainer owes an answer, from the decisions alone."""

from __future__ import annotations

import msgspec

from streams.events import Decided, TrainingOrder
from streams.policy import Policy
from tests.core.trainer_rows import START
from trainer.open_runs import OpenRuns, answered, decided


def order(run: str, attempt: int = 1, *, recall: tuple[str, ...] = ()) -> TrainingOrder:
    """An order of that run."""
    return TrainingOrder(run=run, attempt=attempt, champion="c", policy=Policy(), as_of=START, seed=1, cause="x", recall=recall)


def decision(kind: str, run: str, model: str = "m", attempt: int = 1) -> Decided:
    """A decision of that kind, with an order where it has one."""
    recall = ("old",) if kind == "RecallStarted" else ()
    ordered = order(run, attempt, recall=recall) if kind in ("RecallStarted", "TrainingStarted", "TrainingRetried") else None
    return Decided(
        id="d", at=START, model=model, kind=kind, why="", run=run, order=ordered, cause="x", partition=0, offset=0, core="1"
    )


def after(*decisions: Decided) -> OpenRuns:
    """Folded from nothing."""
    runs = OpenRuns()
    for record in decisions:
        runs = decided(runs, record)
    return runs


def test_a_started_run_is_open_until_it_is_ended() -> None:
    """Whatever ended it: the gate, shadow, or the controller's patience."""
    assert after(decision("TrainingStarted", "a")).next() == ("m", order("a"))
    for kind in ("TrainingEnded", "CandidateRejected", "ShadowStarted"):
        assert after(decision("TrainingStarted", "a"), decision(kind, "a")).next() is None


def test_the_end_of_another_run_ends_nothing() -> None:
    """Decisions of an older run may come later."""
    assert after(decision("TrainingStarted", "b"), decision("TrainingEnded", "a")).next() == ("m", order("b"))


def test_an_answered_order_is_not_run_again_but_its_next_attempt_is() -> None:
    """The answer is in the log; the controller may still ask once more."""
    runs = answered(after(decision("TrainingStarted", "a")), "m", order("a"))
    assert runs.next() is None
    assert decided(runs, decision("TrainingRetried", "a", attempt=2)).next() == ("m", order("a", 2))


def test_one_order_waits_for_each_model_and_the_oldest_comes_first() -> None:
    """A newer order of a model takes the older one's place, behind those of others."""
    runs = after(
        decision("TrainingStarted", "a"), decision("TrainingStarted", "n", model="other"), decision("TrainingStarted", "b")
    )
    assert list(runs.orders) == ["other", "m"]
    assert runs.next() == ("other", order("n"))
    assert runs.orders["m"] == order("b")


def test_a_recall_is_open_until_it_is_decided() -> None:
    """Its release goes to shadow, or the run is ended."""
    assert after(decision("RecallStarted", "a")).next() == ("m", order("a", recall=("old",)))
    for kind in ("Recalled", "ChallengerFrozen", "TrainingEnded"):
        assert after(decision("RecallStarted", "a"), decision(kind, "a")).next() is None


def test_the_training_that_follows_a_recall_is_another_order_of_the_run() -> None:
    """Answered is the recall, same run and same attempt: the training is still owed."""
    recalled = answered(after(decision("RecallStarted", "a")), "m", order("a", recall=("old",)))
    assert recalled.next() is None
    only_challenger = msgspec.structs.replace(order("a"), challenger=True)
    assert answered(after(decision("TrainingStarted", "a")), "m", only_challenger).next() == ("m", order("a"))
    runs = decided(recalled, decision("TrainingStarted", "a"))
    assert runs.next() == ("m", order("a"))
    assert answered(runs, "m", order("a")).next() is None
