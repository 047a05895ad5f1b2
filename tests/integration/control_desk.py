"""One model on the real log and the controllers that lead it: writes control, reads decisions and routes."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from config.settings import Settings
from homeostat import replay
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.codec import decode_json, encode_json
from streams.events import Control, DeadLettered, Decided, Route
from streams.ports import Outgoing
from tests.core.control_log import evidence, finished, registered, retrain
from tests.integration.role_process import RoleProcess, free_port, wait_for

LIMIT = 2**20
CLOSE_S = 5.0


class Desk:
    """One model on the real log: writes control, reads decisions and routes."""

    def __init__(self, bootstrap: str, data: Path) -> None:
        self.model = f"m-{uuid4().hex[:8]}"
        self.settings = Settings(data=str(data), bootstrap_servers=bootstrap, control_port=free_port(), standby_port=free_port())
        self.writer = ConfluentWriter(bootstrap)
        self.roles: list[RoleProcess] = []

    def controller(self, *, crash_at: str = "") -> RoleProcess:
        self.roles.append(RoleProcess("control", self.settings, crash_at=crash_at))
        return self.roles[-1]

    def standby(self) -> RoleProcess:
        """The second controller; its settings name its own port."""
        role = RoleProcess("standby", self.settings)
        role.settings = msgspec.structs.replace(role.settings, control_port=self.settings.standby_port)
        self.roles.append(role)
        return role

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
        # Asked first, so that it leaves the group: the next test's controller need not wait for its silence.
        for role in self.roles:
            role.signal(signal.SIGTERM)
        for role in self.roles:
            with suppress(subprocess.TimeoutExpired):
                role.process.wait(CLOSE_S)
            role.close()
        self.writer.close(5.0)

    def _read(self, topic: str, kind: type) -> list:  # type: ignore[type-arg]  # one reader for three record types
        reader = ConfluentReader(self.settings.bootstrap_servers)
        try:
            return [decode_json(message.value, kind, LIMIT) for message in read_topic(reader, topic, 10.0)]
        finally:
            reader.close()
