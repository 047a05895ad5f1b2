"""One installation under test: a data directory, its roles as processes, and all that its log says."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from config.settings import Settings, write
from homeostat.chaos.crashes.life import Life
from homeostat.chaos.crashes.log_view import LogView
from homeostat.chaos.crashes.materials import cast, train
from homeostat.chaos.crashes.rehearsal import Cast
from homeostat.chaos.crashes.traffic import Traffic
from homeostat.chaos.crashes.verdict import until
from homeostat.ports import with_ports
from homeostat.roles import named
from streams import topics
from streams.adapters.confluent import ConfluentWriter
from streams.adapters.store import DirectoryStore
from streams.codec import encode_json
from streams.events import Approve, Control
from streams.partitioner import partition_of
from streams.ports import Outgoing

WRITE_S: Final = 20.0
TRAINER: Final = "homeostat.chaos.crashes.trainer_life"
_PARTITION: Final = 0
"""Of `control`: all models lie on it, so that a controller has one partition to take over."""


class Site:
    """Owned by one thread. The broker, with all topics, is whoever's who made it; nothing else may live on it."""

    def __init__(self, bootstrap_servers: str, directory: Path) -> None:
        bare = Settings(
            data=str(directory.absolute()), bootstrap_servers=bootstrap_servers, serving_port=0, tick_ms=200, lake_tick_ms=600
        )
        self.settings = with_ports(bare)
        write(self.settings)
        self.store = DirectoryStore(self.settings.store)
        self.log = LogView(bootstrap_servers)
        self.ahead: tuple[str, ...] = ()
        """Points that come next: whoever is started again may be armed for the first of them."""
        self._writer = ConfluentWriter(bootstrap_servers)
        self._lives: dict[str, Life] = {}
        self._numbers = itertools.count()
        self._template = ""
        self._trainee: Traffic | None = None

    def trainee(self) -> Traffic:
        """The one model that is trained, with traffic of its own."""
        self.running("control")
        self.running("serve")
        self._trainee = self._trainee or Traffic(self.settings, self.new_name("trainee"))
        return self._trainee

    def new_name(self, what: str) -> str:
        """A model's name that nobody has yet."""
        partitions = topics.named(topics.CONTROL).partitions
        names = (f"{what.replace(':', '-').lower()}-{number}".replace("_", "-") for number in self._numbers)
        return next(name for name in names if partition_of(name.encode(), partitions) == _PARTITION)

    def new_cast(self, what: str) -> Cast:
        """A model with releases that can be served."""
        for role in ("trainer", "agents", "monitor"):
            self.stop(role)  # in a story it is told what they would tell
        self._template = self._template or train(self.store, "template")
        return cast(self.store, self.new_name(what), self._template)

    def tell(self, records: Sequence[Control]) -> None:
        """Write records to `control`, and wait for the broker."""
        outgoing = [
            Outgoing(topic=topics.CONTROL, key=record.model.encode(), value=encode_json(self._named(record)))
            for record in records
        ]
        self._writer.write(outgoing, WRITE_S)

    def write(self, topic: str, key: bytes, value: bytes) -> None:
        """Write any bytes."""
        self._writer.write([Outgoing(topic=topic, key=key, value=value)], WRITE_S)

    def life(self, role: str) -> Life | None:
        """The role's process, if one was started."""
        return self._lives.get(role)

    def armed(self, role: str, point: str) -> Life:
        """The role, to die at that point: as it runs already, or started."""
        life = self._lives.get(role)
        return life if life is not None and not life.ended and life.dies_at == point else self.start(role, dies_at=point)

    def start(self, role: str, *, dies_at: str = "") -> Life:
        """Start a role; whatever runs of it is killed first."""
        self.stop(role)
        # A sweep that is killed itself leaves nothing behind.
        where = ["--data", self.settings.data, "--parent", str(os.getpid())]
        module = [TRAINER, *where] if role == "trainer" else ["homeostat.cli", role, *where]
        self._lives[role] = Life(role, module, self.settings, dies_at=dies_at)
        return self._lives[role]

    def command(self, arguments: Sequence[str], *, dies_at: str = "") -> Life:
        """A command of the command line as a process of its own."""
        return Life(arguments[0], ["homeostat.cli", *arguments], self.settings, dies_at=dies_at)

    def running(self, role: str) -> Life:
        """The role as it runs, unarmed; started where it does not."""
        life = self._lives.get(role)
        return life if life is not None and not life.ended and not life.dies_at else self.start(role)

    def ready(self, role: str) -> None:
        """Wait until a role answers, unless it ends first."""
        life = self._lives[role]
        until(lambda: life.ended or named(role).healthy(self.settings), lambda: f"{role} does not answer")

    def stop(self, role: str) -> None:
        """Kill a role."""
        if role in self._lives:
            self._lives.pop(role).close()

    def close(self) -> None:
        """Leave nothing running."""
        for role in tuple(self._lives):
            self.stop(role)
        self.log.close()
        self._writer.close(1.0)

    def _named(self, record: Control) -> Control:
        """A person approves a decision of this log, not of its rehearsal."""
        if not isinstance(record, Approve):
            return record
        wanted = [decision for decision in self.log.look().decisions(record.model) if decision.kind == "ApprovalWanted"]
        return msgspec.structs.replace(record, decision=wanted[-1].id) if wanted else record
