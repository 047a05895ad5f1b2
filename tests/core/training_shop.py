"""A workshop in memory for runs without broker, disk or Ray."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime

from streams.events import RecallFinished, TrainingFinished, TrainingOrder
from streams.policy import Policy, TrainingPolicy
from streams.release import BlobMissing, digest_of
from tests.core.trainer_rows import label, logged, minute, prediction, row
from trainer.adapters.formats import FORMATS
from trainer.adapters.local_pool import LocalPool
from trainer.dataset import LoggedRows, RowSource
from trainer.first_release import first_release
from trainer.trial import TrialPool
from trainer.workshop import Result, Workshop

POLICY = Policy(
    training=TrainingPolicy(
        parameters={"rounds": 10, "max_depth": 3},
        search={"eta": (0.05, 0.5)},
        trials=3,
        window_rows=400,
        holdout_rows=80,
        minimum_rows=200,
    )
)


@dataclass
class MemoryStore:
    """Blobs in a dict."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> str:
        """Keep."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def get(self, digest: str) -> bytes:
        """Return, or BlobMissing."""
        if digest not in self.blobs:
            raise BlobMissing(digest)
        return self.blobs[digest]

    def has(self, digest: str) -> bool:
        """Whether it is there."""
        return digest in self.blobs


@dataclass
class MemoryResults:
    """Results in dicts, one for each stage; the first one counts."""

    trained: dict[str, TrainingFinished] = field(default_factory=dict)
    recalled: dict[str, RecallFinished] = field(default_factory=dict)

    def find(self, run: str, stage: type[Result]) -> Result | None:
        """What it ended with."""
        kept = self.recalled.get(run) if stage is RecallFinished else self.trained.get(run)
        return kept if isinstance(kept, stage) else None

    def keep(self, result: Result) -> Result:
        """The one that counts."""
        if isinstance(result, RecallFinished):
            return self.recalled.setdefault(result.run, result)
        return self.trained.setdefault(result.run, result)


@dataclass
class Rows:
    """A source of so many labelled rows."""

    number: int = 500
    seed: int = 9
    inverted: int = 0
    """So many of the first have the other class."""

    def newest(self, model: str, as_of: datetime, labelled_rows: int) -> LoggedRows:
        """All of them."""
        predictions = [prediction(place, features=row(place, self.seed)[0]) for place in range(self.number)]
        return logged(predictions, [label(place, value=self._outcome(place)) for place in range(self.number)])

    def _outcome(self, place: int) -> int:
        value = row(place, self.seed)[1]
        return 1 - value if place < self.inverted else value


def register(store: MemoryStore, policy: Policy = POLICY, rows: int = 400) -> tuple[str, str]:
    """A first release of model 'm'."""
    content = [row(number, seed=1) for number in range(rows)]
    table = {"x": [features["x"] for features, _ in content], "colour": [features["colour"] for features, _ in content]}
    return first_release(store, "m", {**table, "y": [value for _, value in content]}, "y", policy, LocalPool(), 5)


def workshop(store: MemoryStore, source: RowSource | None = None, pool: TrialPool | None = None) -> Workshop:
    """Everything in memory; the clocks tick at every look."""
    ticks = itertools.count()
    return Workshop(
        store=store,
        results=MemoryResults(),
        source=source or Rows(),
        pool=pool or LocalPool(),
        formats=FORMATS,
        wall_clock=lambda: minute(10_000 + next(ticks)),
        seconds=lambda: float(next(ticks)),
    )


def order(
    champion: str,
    *,
    run: str = "run-1",
    attempt: int = 1,
    policy: Policy = POLICY,
    as_of: float = 1_000,
    recall: tuple[str, ...] = (),
) -> TrainingOrder:
    """An order for model 'm'."""
    return TrainingOrder(
        run=run, attempt=attempt, champion=champion, policy=policy, as_of=minute(as_of), seed=11, cause="asked", recall=recall
    )
