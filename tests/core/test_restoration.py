"""A model brought back into an empty log: everything stands but what speaks of the log that is gone."""

from __future__ import annotations

import msgspec
import pytest

from streams.events import Restored
from tests.core.control_log import EVENT_T0, POLICY, ControlLog, evidence, finished, promote, registered, retrain
from tests.core.test_incidents import called


def in_shadow() -> ControlLog:
    log = ControlLog()
    log.tell(registered())
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    return log


def old() -> ControlLog:
    """A candidate in its first step, with evidence."""
    log = in_shadow()
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    return log


def restored(log: ControlLog, incarnation: int = 2) -> Restored:
    (state,) = log.state.models.values()
    return Restored(
        id="restored-m-2",
        at=EVENT_T0,
        model="m",
        actor="ada",
        reason="the disk is gone",
        incarnation=incarnation,
        state=msgspec.msgpack.encode(state),
    )


def test_the_rollout_goes_on_in_a_higher_incarnation_with_the_evidence_that_was_counted() -> None:
    """New windows count from nothing, and what was proved stays proved."""
    before, new = old(), ControlLog()
    assert new.tell(restored(before)) == ["Restored"]
    route = new.routes[-1]
    assert (route.incarnation, route.candidate, route.step) == (2, "second", before.routes[-1].step)
    assert route.generation > before.routes[-1].generation
    assert new.tell(evidence(route, 100, better=5, worse=2, answered=200)) == ["StepTaken"]
    new.tell(evidence(new.routes[-1], 100, better=5, worse=2, answered=200))
    assert new.routes[-1].champion == "second"


def test_a_training_in_flight_is_ordered_again() -> None:
    """Its order stood in the log that is gone."""
    before, new = ControlLog(), ControlLog()
    before.tell(registered())
    before.tell(retrain())
    run = before.decisions[-1].run
    assert new.tell(restored(before)) == ["Restored", "TrainingRetried"]
    assert new.tell(finished(run)) == ["TrainingEnded", "ShadowStarted"]


def test_open_incidents_end_with_their_log_and_their_rows_stay_out() -> None:
    """Who called them is gone; what is still spoilt is called again."""
    before, new = ControlLog(), ControlLog()
    before.tell(registered())
    before.tell(called())
    new.tell(restored(before))
    assert new.routes[-1].quarantine == ()
    new.tell(retrain())
    order = new.decisions[-1].order
    assert order is not None
    assert [rule.incident for rule in order.quarantine] == ["bug-1"]


def test_a_command_of_the_old_log_does_not_act_again() -> None:
    """The ids are remembered across logs."""
    before, new = old(), ControlLog()
    new.tell(restored(before))
    assert new.tell(retrain()) == ["Refused"]


def test_what_cannot_be_taken_up_is_refused() -> None:
    """No state, another model's, an incarnation that is not beyond, and a model that is here."""
    before = old()
    for record in (
        msgspec.structs.replace(restored(before), state=b"rubbish"),
        msgspec.structs.replace(restored(before), model="n"),
        restored(before, incarnation=1),
    ):
        log = ControlLog(record.model)
        assert log.tell(record) == ["Refused"]
        assert not log.state.models
    assert before.tell(restored(before)) == ["Refused"]


@pytest.mark.parametrize("phase", ["idle", "baking"])
def test_every_phase_is_taken_up(phase: str) -> None:
    """With its control, where there is one."""
    before, new = ControlLog(), ControlLog()
    before.tell(registered(policy=POLICY))
    if phase == "baking":
        before = in_shadow()
        promote(before)
    new.tell(restored(before))
    (state,) = new.state.models.values()
    assert (state.rollout.phase, state.rollout.incarnation) == (phase, 2)
    if phase == "baking":
        assert "BakeEnded" in new.tell(evidence(new.routes[-1], 300, arm="control"))
