"""A lake written file by file, and the challengers' desk on it with a log in memory."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from config.settings import Settings
from drift.monitoring import ModelState
from drift.periods import Periods
from homeostat.agents_meters import AgentsMeters
from homeostat.challenger_desk import ChallengerDesk
from homeostat.challenger_keeper import Bench
from homeostat.challenger_state import ChallengerState, path_of, read_state
from homeostat.incident_book import IncidentBook
from homeostat.served_rows import ServedRows
from streams import topics
from streams.adapters.lake import directory, encode, table_of
from streams.adapters.memory import MemoryLog, MemoryReader, MemoryWriter
from streams.adapters.prometheus import Meters
from streams.codec import decode_control, encode_json
from streams.crash_points import NOWHERE, CrashPoints
from streams.events import ArmOutput, ChallengerScored, Decided, Labelled, Predicted, Scalar, Steering
from streams.lake_file import file_name
from streams.lake_row import LabelRow, PredictionRow
from streams.policy import ChallengerPolicy, Policy
from streams.ports import Outgoing
from streams.prediction_id import Sealed
from streams.topics import CONTROL, LABELS, PREDICTIONS
from tests.core.trainer_rows import minute, row
from tests.core.training_shop import POLICY, MemoryStore
from trainer.adapters.lake_files import LakeFiles
from trainer.adapters.local_pool import LocalPool
from trainer.first_release import first_release

EPOCH = 77
WAIT_S = 3.0


@dataclass(slots=True)
class LakeBuilder:
    """Writes files as the monitor does, each behind the last of its partition."""

    root: Path
    ends: dict[tuple[str, int], int] = field(default_factory=dict)

    def predictions(
        self,
        numbers: Iterable[int],
        *,
        champion: str,
        model: str = "m",
        partition: int = 0,
        values: Mapping[int, float | None] | None = None,
        features: Mapping[int, dict[str, Scalar]] | None = None,
        spoilt: Sequence[int] = (),
    ) -> None:
        """Rows of these numbers; the champion says 1, or what `values` says."""
        rows = []
        for offset, number in enumerate(numbers, self._end(PREDICTIONS, partition)):
            said = (values or {}).get(number, 1.0)
            predicted = Predicted(
                id=f"{model}-{number}", at=minute(number), model=model, epoch=EPOCH, seq=number, release=champion, arm="champion",
                generation=1, features=(features or {}).get(number) or row(number)[0], contract="c" * 64,
                outputs=(
                    ArmOutput(arm="candidate", release="d" * 64, value=0.0),
                    ArmOutput(arm="champion", release=champion, value=said, failure="" if said is not None else "late"),
                ),
                quarantined=number in spoilt, flags=("x:unit",) if number in spoilt else (),
            )  # fmt: skip
            rows.append(PredictionRow(offset, predicted))
        self._write(PREDICTIONS, partition, rows)

    def labels(
        self,
        numbers: Iterable[int],
        *,
        model: str = "m",
        partition: int = 0,
        outcomes: Mapping[int, Scalar] | None = None,
        minutes_later: int = 5,
    ) -> None:
        """Their labels, so much later."""
        rows = []
        for offset, number in enumerate(numbers, self._end(LABELS, partition)):
            outcome = (outcomes or {}).get(number, row(number)[1])
            assert outcome is not None
            labelled = Labelled(
                id=f"l-{number}", at=minute(number + minutes_later), model=model, prediction=f"{model}-{number}", label=outcome
            )
            rows.append(LabelRow(offset, labelled, _sealed(model, number)))
        self._write(LABELS, partition, rows)

    def both(self, numbers: Sequence[int], *, champion: str, model: str = "m", partition: int = 0) -> None:
        """A file of each."""
        self.predictions(numbers, champion=champion, model=model, partition=partition)
        self.labels(numbers, model=model, partition=partition)

    def _end(self, topic: str, partition: int) -> int:
        return self.ends.get((topic, partition), 0)

    def _write(self, topic: str, partition: int, rows: Sequence[PredictionRow | LabelRow]) -> None:
        first = self._end(topic, partition)
        self.ends[topic, partition] = first + len(rows)
        folder = directory(self.root, topic, partition)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file_name(first, first + len(rows))).write_bytes(encode(table_of(topic, rows)))


@functools.cache
def registered(model: str = "m") -> tuple[dict[str, bytes], str]:
    """One release for all stories, and all it needs: fitting takes longer than any of them."""
    store = MemoryStore()
    content = [row(number, seed=1) for number in range(400)]
    table: dict[str, list[Scalar]] = {name: [features[name] for features, _ in content] for name in ("x", "colour")}
    champion, _ = first_release(store, model, {**table, "y": [value for _, value in content]}, "y", POLICY, LocalPool(), 5)
    return store.blobs, champion


def _sealed(model: str, number: int) -> Sealed:
    return Sealed(
        epoch=EPOCH, seq=number, model=model, release="a" * 64, generation=1, step=0, arm="champion", at=minute(number),
        issued=minute(number), contract="c" * 64, champion="a" * 64, outputs=(("champion", "a" * 64, 1.0),),
    )  # fmt: skip


def said(log: MemoryLog, record: Steering, *, key: str = "m", decided: str = "") -> None:
    """Write to `control`; `decided`: and that kind of decision on it, as the controller does."""
    MemoryWriter(log).write([Outgoing(topic=CONTROL, key=key.encode(), value=encode_json(record))], 1.0)
    if not decided:
        return
    reader = MemoryReader(log)
    reader.assign({(CONTROL, number): -2 for number in range(topics.named(CONTROL).partitions)})
    message = next(one for one in reversed(reader.poll(0.0, 100_000)) if one.value == encode_json(record))
    decision = Decided(
        id=f"d-{record.id}", at=record.at, model=record.model, kind=decided, why="", cause=record.id, core="",
        partition=message.partition, offset=message.offset,
    )  # fmt: skip
    MemoryWriter(log).write([Outgoing(topic=topics.DECISIONS, key=key.encode(), value=encode_json(decision))], 1.0)


class Died(BaseException):
    """The process ended here; no `except Exception` holds it."""


@dataclass(slots=True)
class DiesAt:
    """A crash point that ends the story once."""

    point: str

    def reached(self, point: str) -> None:
        """Die there."""
        if point == self.point:
            self.point = ""
            raise Died(point)


@dataclass(slots=True)
class Installation:
    """A data directory, a store, a log, and one model 'm' that is served and folded."""

    data: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    store: MemoryStore = field(default_factory=MemoryStore)
    champion: str = ""
    lake: LakeBuilder = field(init=False)
    models: dict[str, ModelState] = field(default_factory=dict)
    now_s: float = 0.0
    meters: Meters = field(default_factory=lambda: Meters(CollectorRegistry()))

    def __post_init__(self) -> None:
        self.lake = LakeBuilder(Settings(data=str(self.data)).lake)
        blobs, self.champion = registered()
        self.store.blobs.update(blobs)
        self.serve()

    def serve(self, policy: Policy = POLICY, **challenger: object) -> None:
        """The model under a policy."""
        changed = msgspec.structs.replace(ChallengerPolicy(), **challenger)
        policy = msgspec.structs.replace(policy, challenger=changed)
        self.models["m"] = ModelState(policy=policy, generation=1, champion=self.champion, periods=Periods(seconds=3_600))

    def desk(self, crash: CrashPoints = NOWHERE) -> ChallengerDesk:
        """As a new process has it."""
        lake = LakeFiles(Settings(data=str(self.data)).lake, 2**24)
        told = AgentsMeters(self.meters)
        bench = Bench(
            data=self.data, lake=lake, served=ServedRows(lake), store=self.store, wait_s=WAIT_S, clock=lambda: self.now_s,
            crash=crash, told=told,
        )  # fmt: skip
        book = IncidentBook(MemoryReader(self.log))
        return ChallengerDesk(models=lambda: self.models, book=book, writer=MemoryWriter(self.log), bench=bench, meters=told)

    def turned(self, desk: ChallengerDesk | None = None) -> list[ChallengerScored]:
        """All records in the log once the desk has nothing more to do."""
        desk = desk or self.desk()
        while desk.turn():
            self.now_s += 0.01
        return self.told()

    def told(self) -> list[ChallengerScored]:
        """All records of challengers in the log."""
        places = [(topics.CONTROL, number) for number in range(topics.named(topics.CONTROL).partitions)]
        reader = MemoryReader(self.log)
        reader.assign(dict.fromkeys(places, -2))
        records = [decode_control(message.value) for message in reader.poll(0.0, 100_000)]
        return [record for record in records if isinstance(record, ChallengerScored)]

    def state(self, model: str = "m") -> ChallengerState:
        """What is kept."""
        state = read_state(path_of(self.data, model))
        assert state is not None
        return state

    def path(self, model: str = "m") -> Path:
        """Where it is kept."""
        return path_of(self.data, model)
