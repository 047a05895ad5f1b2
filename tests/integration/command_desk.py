"""The command line on a broker of its own, with a controller and a serving process: control is written, commands are given."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from config.settings import Settings
from homeostat import cli
from homeostat.read_topic import EARLIEST
from homeostat.roles import CONTROL, SERVE
from streams import topics
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.store import DirectoryStore
from streams.codec import decode_json, encode_json
from streams.events import Control, Decided, Route
from streams.policy import Policy
from streams.ports import Outgoing
from streams.profile import Profile
from streams.release import encode, load_release
from tests.core.control_log import POLICY, evidence, finished, registered, retrain
from tests.integration.role_process import RoleProcess, free_port, wait_for
from tests.integration.small_release import ROWS, contract_of, put_release

PLACES = [(topic, number) for topic in (topics.DECISIONS, topics.ROUTES) for number in range(topics.named(topic).partitions)]


@contextmanager
def with_control(bootstrap: str, data: Path) -> Iterator[CommandDesk]:
    """A desk on that broker, with a controller, closed behind."""
    desk = CommandDesk(bootstrap, data)
    try:
        desk.start("control")
        yield desk
    finally:
        desk.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one command said."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The object on the last line of standard output."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found


class CommandDesk:
    """One data directory; the roles are started by name. `close` leaves nothing running."""

    def __init__(self, bootstrap: str, data: Path) -> None:
        self.settings = Settings(data=str(data), bootstrap_servers=bootstrap, control_port=free_port(), serving_port=free_port())
        data.mkdir(parents=True, exist_ok=True)
        self.store = DirectoryStore(self.settings.store)
        self.roles: dict[str, RoleProcess] = {}
        self._fitted = load_release(self.store, put_release(self.store, "template"))
        self._writer = ConfluentWriter(bootstrap)
        self._reader = ConfluentReader(bootstrap)
        self._reader.assign(dict.fromkeys(PLACES, EARLIEST))
        self._decisions: list[Decided] = []
        self._routes: dict[str, Route] = {}

    def start(self, name: str) -> None:
        """Start a role, and return when it answers."""
        self.roles[name] = RoleProcess(name, self.settings)
        role = {"control": CONTROL, "serve": SERVE}[name]
        wait_for(lambda: role.healthy(self.settings), f"{name} is ready", 60.0)

    def stop(self, name: str) -> None:
        """Kill a role."""
        self.roles.pop(name).close()

    def close(self) -> None:
        for role in self.roles.values():
            role.close()
        self._writer.close(5.0)
        self._reader.close()

    def run(self, *arguments: str) -> Said:
        """One command in this process, with --data."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = cli.run([*arguments, "--data", self.settings.data])
        return Said(status=status, out=out.getvalue(), err=err.getvalue())

    def asked(self, *arguments: str) -> dict[str, Any]:
        """What a command that must succeed answers with --json."""
        said = self.run(*arguments, "--json")
        assert said.status == 0, said
        return said.document

    def tell(self, *records: Control) -> None:
        """Write to `control`."""
        self._writer.write(
            [Outgoing(topic=topics.CONTROL, key=record.model.encode(), value=encode_json(record)) for record in records], 10.0
        )

    def write(self, topic: str, key: bytes, value: bytes) -> None:
        """Write whatever it is."""
        self._writer.write([Outgoing(topic=topic, key=key, value=value)], 10.0)

    def release(self, model: str, seed: int = 0) -> str:
        """A release of that model, with the one artefact that was fitted; another seed is another release."""
        contract = self.store.put(encode(contract_of(model)))
        profile = Profile(model=model, contract=contract, rows=ROWS, features=())
        changed = msgspec.structs.replace(
            self._fitted, model=model, contract=contract, profile=self.store.put(encode(profile)), run=f"run-{seed}"
        )
        return self.store.put(encode(changed))

    def register(self, policy: Policy = POLICY) -> str:
        """A model of its own with a real first release, decided on; its name."""
        model = f"m-{uuid4().hex[:8]}"
        self.tell(msgspec.structs.replace(registered(model, policy), release=self.release(model)))
        self.wait_for_kind(model, "Registered")
        return model

    def decisions(self, model: str) -> list[Decided]:
        self._catch_up()
        return [decision for decision in self._decisions if decision.model == model]

    def route(self, model: str) -> Route:
        self._catch_up()
        return self._routes[model]

    def kinds(self, model: str) -> list[str]:
        return [decision.kind for decision in self.decisions(model)]

    def wait_for_kind(self, model: str, kind: str, count: int = 1) -> None:
        wait_for(lambda: self.kinds(model).count(kind) >= count, f"{count} x {kind} of {model}; there is {self.kinds(model)}")

    def _catch_up(self) -> None:
        """Read `decisions` and `routes` to their present ends."""
        ends = self._reader.end_offsets(PLACES)

        def all_read() -> bool:
            for message in self._reader.poll(0.02, 500):
                if message.topic == topics.DECISIONS:
                    self._decisions.append(decode_json(message.value, Decided))
                else:
                    route = decode_json(message.value, Route)
                    self._routes[route.model] = route
            return all(self._reader.position(place) >= end for place, end in ends.items())

        wait_for(all_read, "decisions and routes are read")

    def train(self, model: str, seed: int = 1, *, passed: bool = True) -> str:
        """A run by hand that ends with a candidate; its release."""
        count = self.kinds(model).count("TrainingStarted")
        self.tell(retrain(f"req-{uuid4().hex[:8]}", model=model))
        self.wait_for_kind(model, "TrainingStarted", count + 1)
        run = next(decision.run for decision in reversed(self.decisions(model)) if decision.kind == "TrainingStarted")
        release = self.release(model, seed)
        self.tell(finished(run, release, passed=passed, model=model))
        self.wait_for_kind(model, "TrainingEnded", count + 1)
        return release

    def shadow_passed(self, model: str) -> None:
        """Evidence that lets the candidate out of shadow."""
        self.tell(evidence(self.route(model), 300, better=15, worse=5, model=model))

    def promote(self, model: str) -> None:
        """Bring the candidate in shadow to the top."""
        self.shadow_passed(model)
        for step in (1, 2):
            self.wait_for_kind(model, "StepTaken", step)
            self.tell(evidence(self.route(model), 100, better=5, worse=2, answered=200, model=model))
        self.wait_for_kind(model, "Promoted")
