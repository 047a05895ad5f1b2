"""The controller as a process on the real broker: killed, and fed with rubbish."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from streams import topics
from streams.codec import encode_json
from streams.policy import AdmissionPolicy, Policy, StalenessPolicy
from streams.ports import Outgoing
from tests.core.control_log import evidence, losses, registered, retrain
from tests.integration.control_desk import Desk


@pytest.fixture
def desk(broker, tmp_path: Path) -> Iterator[Desk]:  # type: ignore[no-untyped-def]  # the fixture's class lives in conftest
    desk = Desk(broker.bootstrap_servers, tmp_path)
    yield desk
    desk.close()


def test_the_same_command_twice_is_one_run_and_rubbish_is_answered(desk: Desk) -> None:
    """Undecodable and misplaced records are decisions and dead letters; what stands behind them is folded."""
    desk.controller()
    request = retrain(f"req-{desk.model}", model=desk.model)
    desk.tell(registered(desk.model), request)
    desk.writer.write([Outgoing(topic=topics.CONTROL, key=desk.model.encode(), value=b"\xff rubbish")], 10.0)
    wrong_key = registered("somebody-else")
    desk.writer.write([Outgoing(topic=topics.CONTROL, key=desk.model.encode(), value=encode_json(wrong_key))], 10.0)
    desk.tell(request, losses(0, 20, model=desk.model))
    desk.wait_for_kind("StalenessMeasured")
    assert desk.kinds() == ["Registered", "TrainingStarted", "Refused", "Refused", "Refused", "StalenessMeasured"]
    assert sorted(letter.reason for letter in desk.dead_letters()) == ["undecodable", "wrong_key"]


@pytest.mark.parametrize("point", ["controller:before_commit:Promoted", "controller:after_commit:Promoted"])
def test_killed_around_a_promotion_there_is_exactly_one(desk: Desk, point: str) -> None:
    """SIGKILL between the promotion's fold and its effect, on either side of the commit: one promotion, one route."""
    first = desk.controller(crash_at=point)
    desk.to_last_step()
    desk.tell(evidence(desk.routes()[-1], 100, better=5, worse=2, answered=200, model=desk.model))
    assert first.wait_end() == -signal.SIGKILL
    desk.controller()
    desk.wait_for_kind("Promoted")
    desk.tell(losses(0, 20, model=desk.model, release="second"))
    desk.wait_for_kind("StalenessMeasured")
    assert desk.kinds().count("Promoted") == 1
    generations = [route.generation for route in desk.routes()]
    assert generations == sorted(set(generations))
    assert desk.routes()[-1].champion == "second"
    assert desk.replayed().differing == ()


def test_a_deadline_passes_though_nothing_comes_and_the_controller_was_restarted(desk: Desk) -> None:
    """No record arrives any more: the restarted leader writes the tick itself, and the attempt is given up."""
    admission = AdmissionPolicy(attempts=2, deadline=timedelta(seconds=3))
    first = desk.controller()
    desk.tell(registered(desk.model, Policy(admission=admission)), retrain(f"req-{desk.model}", model=desk.model))
    desk.wait_for_kind("TrainingStarted")
    first.signal(signal.SIGKILL)
    first.wait_end()
    desk.controller()
    desk.wait_for_kind("TrainingRetried")
    desk.wait_for_kind("TrainingEnded")
    assert desk.kinds() == ["Registered", "TrainingStarted", "TrainingRetried", "TrainingEnded"]
    assert desk.replayed().differing == ()


def test_a_policy_that_cannot_be_does_not_stop_the_controller(desk: Desk) -> None:
    """Straight onto the log, past every command line: refused, and what stands behind it is folded."""
    desk.controller()
    impossible = Policy(staleness=StalenessPolicy(period=timedelta(0)))
    desk.tell(registered(desk.model, impossible), registered(desk.model), losses(0, 20, model=desk.model))
    desk.wait_for_kind("StalenessMeasured")
    assert desk.kinds() == ["Refused", "Registered", "StalenessMeasured"]
