"""Builds `control` logs for stories: records in, decisions out, with a broker clock that goes on by a second a record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homeostat.chaos.as_agents_tell import evidence_told, losses_told
from homeostat.control_fold import Folded, PartitionState, fold
from streams import topics
from streams.codec import encode_json
from streams.events import (
    Control,
    Decided,
    EvidenceGathered,
    LossesGathered,
    ModelRegistered,
    RetrainRequested,
    Route,
    TrainingFinished,
    derived_id,
)
from streams.partitioner import partition_of
from streams.policy import CanaryPolicy, ChallengerPolicy, Policy, StalenessPolicy
from streams.ports import Message

EVENT_T0 = datetime(2020, 1, 1, tzinfo=UTC)
BROKER_T0 = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD = timedelta(hours=1)
ROWS = 100

POLICY = Policy(
    challenger=ChallengerPolicy(enabled=False),  # these logs tell the champion's own losses; test_challenger_flow tells the other
    staleness=StalenessPolicy(period=PERIOD, retrain_cost="40 errors", noise_trainings=1.0),
    canary=CanaryPolicy(margin=0.08, step_rows=100, bake_rows=200, shadow_rows=2_000),
)


class ControlLog:
    """A partition of `control` and what its fold has said so far."""

    def __init__(self, model: str = "m") -> None:
        self.partition = partition_of(model.encode(), topics.named(topics.CONTROL).partitions)
        self.state = PartitionState()
        self.messages: list[Message] = []
        self.decisions: list[Decided] = []
        self.routes: list[Route] = []

    def append(self, value: bytes, key: bytes, partition: int | None = None) -> Folded:
        """One raw record; `partition`: somewhere else than where the others are."""
        message = Message(
            topic=topics.CONTROL,
            partition=self.partition if partition is None else partition,
            offset=len(self.messages),
            broker_time=BROKER_T0 + timedelta(seconds=len(self.messages)),
            key=key,
            value=value,
        )
        self.messages.append(message)
        self.state, folded = fold(self.state, message)
        self.decisions.extend(folded.decisions)
        if folded.route is not None:
            self.routes.append(folded.route)
        return folded

    def tell(self, record: Control) -> list[str]:
        """One record; the kinds of the decisions on it."""
        folded = self.append(encode_json(record), record.model.encode())
        return [decision.kind for decision in folded.decisions]

    def kinds(self) -> list[str]:
        """All kinds decided so far, without the running commentary."""
        return [decision.kind for decision in self.decisions if decision.kind not in {"StalenessMeasured", "EvidenceNoted"}]


def registered(model: str = "m", policy: Policy = POLICY) -> ModelRegistered:
    return ModelRegistered(
        id=f"reg-{model}", at=EVENT_T0, model=model, actor="test", reason="first", release="first", contract="c", policy=policy
    )


def losses(period: int, errors: int, *, release: str = "first", rows: int = ROWS, model: str = "m") -> LossesGathered:
    return losses_told(model, release, period, EVENT_T0 + PERIOD * (period + 1), rows=rows, errors=errors)


def retrain(request: str = "req-1", *, release: str = "", model: str = "m") -> RetrainRequested:
    return RetrainRequested(id=request, at=EVENT_T0, model=model, actor="ada", reason="because", release=release)


def finished(run: str, release: str = "second", *, passed: bool = True, model: str = "m") -> TrainingFinished:
    return TrainingFinished(
        id=derived_id(run, "finished"),
        at=EVENT_T0,
        model=model,
        actor="trainer",
        reason="gate",
        run=run,
        release=release,
        passed=passed,
        card="card",
        dataset="data",
        rows=1_000,
        seconds=1.0,
    )


def evidence(
    route: Route, n: int, *, worse: int = 0, better: int = 0, answered: int = 0, arm: str = "candidate", model: str = "m"
) -> EvidenceGathered:
    """Cumulative evidence of the route's step: `answered` rows by both arms, split as the share says."""
    return evidence_told(model, route, EVENT_T0, arm=arm, n=n, worse=worse, better=better, answered=answered)


def stale_until_bought(log: ControlLog, first_period: int = 0) -> str:
    """Good periods, then bad ones until a training is bought; its run id."""
    for period in range(first_period, first_period + 80):
        kinds = log.tell(losses(period, 20 if period < first_period + 30 else 40))
        if "TrainingStarted" in kinds:
            return log.decisions[-1].run
    raise AssertionError("no training was bought in 80 periods")


def promote(log: ControlLog) -> None:
    """Evidence that carries the candidate in shadow through all steps."""
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    for _ in range(2):
        log.tell(evidence(log.routes[-1], 100, better=5, worse=2, answered=200))
