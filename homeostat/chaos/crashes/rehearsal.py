"""A model's control log folded here while it is written, so that each record can speak of the route that the last one made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from homeostat.chaos.as_agents_tell import evidence_told, losses_told, score, scores_told
from homeostat.control_fold import PartitionState, fold
from homeostat.model_state import ModelState
from streams import topics
from streams.codec import encode_json
from streams.events import (
    Control,
    Decided,
    ModelRegistered,
    Route,
    TrainingFinished,
)
from streams.partitioner import partition_of
from streams.policy import CanaryPolicy, Policy, StalenessPolicy
from streams.ports import Message

ACTOR: Final = "crash sweep"
PERIOD: Final = timedelta(hours=1)
ROWS: Final = 100
BOUGHT: Final = frozenset({"TrainingBought", "ChallengerWanted"})
POLICY: Final = Policy(
    staleness=StalenessPolicy(period=PERIOD, retrain_cost="40 errors", noise_trainings=1.0),
    canary=CanaryPolicy(margin=0.08, steps=(0.5, 1.0), step_rows=100, bake_rows=200, shadow_rows=2_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A model and its releases, which are in the store."""

    model: str
    releases: tuple[str, str, str]
    contract: str


class Rehearsal:
    """What is told, and what must be decided on it."""

    def __init__(self, cast: Cast, policy: Policy = POLICY) -> None:
        self.cast = cast
        self.policy = policy
        self.began = datetime.now(UTC) - timedelta(days=30)
        """Event time of the registration."""
        self.now = datetime.now(UTC)
        """The broker's clock here."""
        self.records: list[Control] = []
        self.decided: list[tuple[Decided, ...]] = []
        """On each record."""
        self.route: Route | None = None
        self._state = PartitionState()
        self._partition = partition_of(cast.model.encode(), topics.named(topics.CONTROL).partitions)

    @property
    def state(self) -> ModelState:
        """Of the model."""
        return self._state.models[self.cast.model]

    def tell(self, record: Control) -> tuple[Decided, ...]:
        """One more record; what is decided on it."""
        message = Message(
            topic=topics.CONTROL,
            partition=self._partition,
            offset=self._state.offset,
            broker_time=self.now,
            key=self.cast.model.encode(),
            value=encode_json(record),
        )
        self._state, folded = fold(self._state, message)
        self.records.append(record)
        self.decided.append(folded.decisions)
        self.route = folded.route or self.route
        return folded.decisions

    def kinds(self) -> list[str]:
        """Everything decided so far."""
        return [decision.kind for decisions in self.decided for decision in decisions]

    def newest(self, kind: str) -> Decided:
        """The last decision of that kind."""
        return next(one for decisions in reversed(self.decided) for one in decisions if one.kind == kind)

    def said(self, what: str) -> dict[str, object]:
        """The common part of a record of this model; its id is that of the what, and of no other."""
        number = sum(record.id.startswith(f"{self.cast.model}-{what}-") for record in self.records)
        return {
            "id": f"{self.cast.model}-{what}-{number}",
            "at": self.began,
            "model": self.cast.model,
            "actor": ACTOR,
            "reason": what,
        }

    def register(self) -> None:
        """The model, with the first of its releases."""
        record = ModelRegistered(
            release=self.cast.releases[0],
            contract=self.cast.contract,
            policy=self.policy,
            **self.said("registered"),  # type: ignore[arg-type]  # the common part is checked where it is made
        )
        self.tell(record)

    def finish(self, release: int = 1, *, passed: bool = True) -> None:
        """The run in flight gives one of the releases."""
        record = TrainingFinished(
            run=self.state.job.run,
            release=self.cast.releases[release],
            passed=passed,
            card="card",
            dataset="data",
            rows=1_000,
            seconds=1.0,
            **self.said("finished"),  # type: ignore[arg-type]  # as above
        )
        self.tell(record)

    def lose(self, periods: int, errors: int, *, challenger: int | None = None) -> None:
        """So many periods with so many errors in a hundred rows each; stops where something is bought.

        `challenger`: its errors on the same rows, told before each period closes; None: nothing is heard of it.
        """
        first = int(self.began.timestamp() // PERIOD.total_seconds()) + 1
        for period in range(max(first, self.state.last_period + 1), max(first, self.state.last_period + 1) + periods):
            champion = self.state.rollout.champion
            end = datetime.fromtimestamp((period + 1) * PERIOD.total_seconds(), UTC)
            if challenger is not None:
                self._score(period, end, errors, challenger)
            record = losses_told(self.cast.model, champion, period, end, rows=ROWS, errors=errors, actor=ACTOR)
            if any(decision.kind in BOUGHT for decision in self.tell(record)):
                return

    def _score(self, period: int, end: datetime, errors: int, challenger: int) -> None:
        told = score(self.state.rollout.champion, period, labelled=ROWS, champion=errors, challenger=challenger)
        first = self.state.losses.files.get(0, (-ROWS,))[-1] + ROWS
        self.tell(scores_told(self.cast.model, end, (told,), first=first, end=first + ROWS, actor=ACTOR))

    def prove(self, n: int, *, worse: int, better: int, answered: int = 0) -> None:
        """Evidence of the step under way: cumulative, split between the arms as the route says."""
        route = self.route
        assert route is not None
        arm = "candidate" if route.candidate else "control"
        counts = {"n": n, "worse": worse, "better": better, "answered": answered}
        record = evidence_told(self.cast.model, route, self.began, arm=arm, actor=ACTOR, **counts)
        self.tell(record)
