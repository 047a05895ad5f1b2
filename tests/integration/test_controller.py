"""The controller as a process on the real broker: killed, doubled, fed with rubbish."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from config.settings import Settings
from homeostat import replay
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.codec import decode_json, encode_json
from streams.events import Control, DeadLettered, Decided, Route
from streams.policy import AdmissionPolicy, Policy, StalenessPolicy
from streams.ports import Outgoing
from tests.core.control_log import evidence, finished, losses, registered, retrain
from tests.integration.role_process import RoleProcess, free_port, wait_for

LIMIT = 2**20


class Desk:
    """One model on the real log: writes control, reads decisions and routes."""

    def __init__(self, bootstrap: str, data: Path) -> None:
        self.model = f"m-{uuid4().hex[:8]}"
        self.settings = Settings(data=str(data), bootstrap_servers=bootstrap, control_port=free_port())
        self.writer = ConfluentWriter(bootstrap)
        self.roles: list[RoleProcess] = []

    def controller(self, *, crash_at: str = "") -> RoleProcess:
        self.roles.append(RoleProcess("control", self.settings, crash_at=crash_at))
        return self.roles[-1]

    def tell(self, *records: Control) -> None:
        self.writer.write(
            [Outgoing(topic=topics.CONTROL, key=record.model.encode(), value=encode_json(record)) for record in records], 10.0
        )

    def decisions(self) -> list[Decided]:
        return [decision for decision in self._read(topics.DECISIONS, Decided) if decision.model == self.model]

    def routes(self) -> list[Route]:
        return [route for route in self._read(topics.ROUTES, Route) if route.model == self.model]

    def dead_letters(self) -> list[DeadLettered]:
        return [letter for letter in self._read(topics.DEAD_LETTERS, DeadLettered) if letter.model == self.model]

    def kinds(self) -> list[str]:
        return [decision.kind for decision in self.decisions()]

    def wait_for_kind(self, kind: str, count: int = 1) -> None:
        wait_for(lambda: self.kinds().count(kind) >= count, f"{count} x {kind}; there is {self.kinds()}")

    def to_last_step(self) -> None:
        """Register, train, and bring the candidate to its last step before promotion."""
        self.tell(registered(self.model), retrain(f"req-{self.model}", model=self.model))
        self.wait_for_kind("TrainingStarted")
        run = next(decision.run for decision in self.decisions() if decision.run)
        self.tell(finished(run, model=self.model))
        self.wait_for_kind("ShadowStarted")
        self.tell(evidence(self.routes()[-1], 300, better=15, worse=5, model=self.model))
        self.wait_for_kind("StepTaken", 1)
        self.tell(evidence(self.routes()[-1], 100, better=5, worse=2, answered=200, model=self.model))
        self.wait_for_kind("StepTaken", 2)

    def replayed(self) -> replay.ReplayResult:
        return replay.run(self.settings)

    def close(self) -> None:
        for role in self.roles:
            role.close()
        self.writer.close(5.0)

    def _read(self, topic: str, kind: type) -> list:  # type: ignore[type-arg]  # one reader for three record types
        reader = ConfluentReader(self.settings.bootstrap_servers)
        try:
            return [decode_json(message.value, kind, LIMIT) for message in read_topic(reader, topic, 10.0)]
        finally:
            reader.close()


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


@pytest.mark.parametrize("point", ["before_commit:Promoted", "after_commit:Promoted"])
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


def test_a_controller_that_hung_is_fenced_and_ends(desk: Desk) -> None:
    """Its successor leads; what the zombie folds afterwards is invisible, and it exits with an error."""
    zombie = desk.controller()
    desk.tell(registered(desk.model))
    desk.wait_for_kind("Registered")
    zombie.signal(signal.SIGSTOP)
    desk.settings = Settings(data=desk.settings.data, bootstrap_servers=desk.settings.bootstrap_servers, control_port=free_port())
    desk.controller()
    desk.tell(retrain(f"req-{desk.model}", model=desk.model))
    desk.wait_for_kind("TrainingStarted")
    zombie.signal(signal.SIGCONT)
    desk.tell(losses(0, 20, model=desk.model))
    assert zombie.wait_end() != 0
    desk.wait_for_kind("StalenessMeasured")
    assert desk.kinds() == ["Registered", "TrainingStarted", "StalenessMeasured"]
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
