"""The trainer on the real broker with real Ray: an order goes in as a decision, one result comes out on `control`."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from config.settings import Settings
from homeostat.pools import Pools
from homeostat.read_topic import read_topic
from homeostat.trainer import Result, Trainer, workshop
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.predictors import load_served
from streams.adapters.prometheus import Meters
from streams.adapters.secret import load_or_create_key
from streams.adapters.store import DirectoryStore
from streams.codec import decode_control, encode_json
from streams.events import Decided, RecallFinished, Scalar, TrainingFailed, TrainingFinished, TrainingOrder
from streams.policy import Policy
from streams.ports import Outgoing
from streams.prediction_id import Sealer
from streams.release import load_release
from streams.topics import CONTROL, DECISIONS
from tests.core.labelled_traffic import traffic
from tests.core.trainer_rows import minute, row
from tests.core.training_shop import POLICY
from tests.integration.role_process import wait_for
from tests.ray_session import RaySession, ray_session
from trainer.adapters.local_pool import LocalPool
from trainer.first_release import first_release
from trainer.runcard import RunCard
from trainer.trial import PoolFailed, TrialData, TrialPool, TrialRequest, TrialResult

__all__ = ["ray_session"]

LIVE_ROWS = 500
LONG_ROUNDS = 2_000
RESULT_S = 60.0


@dataclass
class KillingPool:
    """The shared pool, whose worker is killed once in the middle of the first call that is told to."""

    session: RaySession
    armed: bool = False
    size: int = 1
    executor: str = "ray under fire"
    timers: list[threading.Timer] = field(default_factory=list)

    def load(self, data: TrialData) -> None:
        """As it is."""
        self.session.pool.load(data)

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """As it is, but for the kill."""
        if self.armed:
            self.armed = False
            timer = threading.Timer(0.1, os.kill, (self.session.pool.pids[0], signal.SIGKILL))
            timer.start()
            self.timers.append(timer)
        return self.session.pool.run(trials, deadline_s)

    def close(self) -> None:
        """It is shared."""


@dataclass
class Site:
    """One installation with one registered model and its traffic in the log."""

    settings: Settings
    model: str
    champion: str
    runs: set[str] = field(default_factory=set)
    """That were opened: a trainer of a later test must not find them open."""

    def order(self, policy: Policy = POLICY, attempt: int = 1, champion: str = "") -> TrainingOrder:
        """For this model; the run is named after it."""
        return TrainingOrder(
            run=f"run-{self.model}",
            attempt=attempt,
            champion=champion or self.champion,
            policy=policy,
            as_of=minute(1_000),
            seed=3,
            cause="c",
        )

    def decide(self, kind: str, order: TrainingOrder) -> None:
        """As the controller writes it."""
        opens = kind in ("RecallStarted", "TrainingStarted", "TrainingRetried")
        self.runs.add(order.run)
        record = Decided(
            id=str(uuid.uuid4()), at=minute(1_000), model=self.model, kind=kind, why="", run=order.run, order=order if opens else None,
            cause="c", partition=0, offset=0, core="1",
        )  # fmt: skip
        writer = ConfluentWriter(self.settings.bootstrap_servers)
        try:
            writer.write([Outgoing(topic=DECISIONS, key=self.model.encode(), value=encode_json(record))], 10.0)
        finally:
            writer.close(1.0)

    def results(self) -> list[Result]:
        """Everything that `control` holds about this model."""
        reader = ConfluentReader(self.settings.bootstrap_servers)
        try:
            own = [message for message in read_topic(reader, CONTROL, 20.0) if message.key == self.model.encode()]
        finally:
            reader.close()
        records = [decode_control(message.value) for message in own]
        return [record for record in records if isinstance(record, Result)]

    def wait_results(self, number: int) -> list[Result]:
        """So many; fails at the bound."""
        found: list[Result] = []

        def enough() -> bool:
            found[:] = self.results()
            return len(found) >= number

        wait_for(enough, f"{number} results of {self.model}", RESULT_S)
        return found

    @contextmanager
    def trainer(self, *pools: TrialPool) -> Iterator[Meters]:
        """The role, in a thread, on a pool that is shared, or on one after the other as each is given up; gives its metrics."""
        left = iter(pools)
        stop, meters = threading.Event(), Meters(CollectorRegistry())
        servers = self.settings.bootstrap_servers
        rows, reader, writer = ConfluentReader(servers), ConfluentReader(servers), ConfluentWriter(servers)
        role = Trainer(workshop(self.settings, rows), Pools(lambda: next(left)), meters, stop)
        thread = threading.Thread(target=role.session, args=(reader, writer))
        thread.start()
        try:
            yield meters
        finally:
            stop.set()
            thread.join(30)
            writer.close(1.0)
            for client in (reader, rows):
                client.close()
        assert not thread.is_alive()


@pytest.fixture
def site(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Site]:
    """A model of this test's own, with 500 labelled rows in the log and none in the lake; its last run is ended afterwards."""
    model = f"m-{uuid.uuid4().hex[:8]}"
    settings = Settings(data=str(tmp_path), bootstrap_servers=broker.bootstrap_servers)
    content = [row(number, seed=1) for number in range(400)]
    table: dict[str, list[Scalar]] = {name: [features[name] for features, _ in content] for name in ("x", "colour")}
    table["y"] = [label for _, label in content]
    champion, _ = first_release(DirectoryStore(settings.store), model, table, "y", POLICY, LocalPool(), 5)
    writer = ConfluentWriter(broker.bootstrap_servers)
    try:
        writer.write(traffic(Sealer(load_or_create_key(settings.secret_file)), model, range(LIVE_ROWS), seed=9), 30.0)
    finally:
        writer.close(1.0)
    made = Site(settings=settings, model=model, champion=champion)
    yield made
    for run in made.runs:
        made.decide("TrainingEnded", msgspec.structs.replace(made.order(), run=run))


def slow(policy: Policy = POLICY) -> Policy:
    """Fits that last long enough to be interrupted."""
    training = msgspec.structs.replace(policy.training, parameters={"rounds": LONG_ROUNDS, "max_depth": 3}, search={}, trials=1)
    return msgspec.structs.replace(policy, training=training)


def test_an_order_ends_in_a_candidate_that_can_be_served(site: Site, ray_session: RaySession) -> None:
    """The newest live rows, a search on Ray, the gate, the release in the store, the result acknowledged on `control`."""
    with site.trainer(ray_session.pool):
        site.decide("TrainingStarted", site.order())
        (result,) = site.wait_results(1)
    assert isinstance(result, TrainingFinished), result
    store = DirectoryStore(site.settings.store)
    release, _, predictor = load_served(store, result.release)
    card = msgspec.json.decode(store.get(result.card), type=RunCard)
    assert (result.passed, release.parent, release.run) == (True, site.champion, f"run-{site.model}")
    assert result.numbers["rows_live"] == 400
    assert predictor.predict([row(3, seed=9)[0]])[0][0] in (0.0, 1.0)
    assert card.executor.startswith("ray 2.")
    assert card.trained_until == minute(LIVE_ROWS - 1 - 80)


def test_a_ray_worker_that_is_killed_costs_no_run(site: Site, ray_session: RaySession) -> None:
    """SIGKILL in the middle of the fit: the trial runs again, and there is exactly one candidate, as good as any."""
    pool = KillingPool(ray_session, armed=True)
    before = len(ray_session.losses)
    with site.trainer(pool):
        site.decide("TrainingStarted", site.order(slow()))
        (result,) = site.wait_results(1)
    pool.timers[0].join(10)
    assert len(ray_session.losses) - before == 1
    assert isinstance(result, TrainingFinished), result
    store = DirectoryStore(site.settings.store)
    site.decide("TrainingEnded", site.order())
    with site.trainer(LocalPool()):
        # The same fit where nothing was killed: another run id, the same model.
        site.decide("TrainingStarted", msgspec.structs.replace(site.order(slow()), run=f"other-{site.model}"))
        other = site.wait_results(2)[1]
    assert isinstance(other, TrainingFinished), other
    assert load_release(store, other.release).artefact == load_release(store, result.release).artefact
    assert [one.run for one in site.results()] == [f"run-{site.model}", f"other-{site.model}"]


def test_the_same_order_again_has_the_same_one_candidate(site: Site, ray_session: RaySession) -> None:
    """A retry after the answer, and a trainer that starts anew while the order is open: the stored result is told again."""
    with site.trainer(ray_session.pool) as meters:
        site.decide("TrainingStarted", site.order())
        site.wait_results(1)
        site.decide("TrainingRetried", site.order(attempt=2))
        site.wait_results(2)
    with site.trainer(ray_session.pool):
        results = site.wait_results(3)
    assert len(results) == 3
    assert len({msgspec.json.encode(result) for result in results}) == 1
    assert meters.registry.get_sample_value("homeostat_runs_total", {"model": site.model, "outcome": "passed"}) == 2.0


def test_an_order_that_was_ended_while_the_trainer_was_away_is_not_carried_out(site: Site, ray_session: RaySession) -> None:
    """Its end is in the log, further on; the next order of the same model is what runs."""
    ended = msgspec.structs.replace(site.order(), run=f"ended-{site.model}")
    site.decide("TrainingStarted", ended)
    site.decide("TrainingEnded", ended)
    site.decide("TrainingStarted", site.order())
    with site.trainer(ray_session.pool):
        results = site.wait_results(1)
    assert [result.run for result in results] == [f"run-{site.model}"]


def test_what_cannot_be_trained_is_told_and_the_next_order_is_carried_out(site: Site, ray_session: RaySession) -> None:
    """A policy that asks for more rows than there are is final; a champion that is not in the store may come yet."""
    hungry = msgspec.structs.replace(POLICY, training=msgspec.structs.replace(POLICY.training, minimum_rows=10_000))
    with site.trainer(ray_session.pool):
        site.decide("TrainingStarted", site.order(hungry))
        site.wait_results(1)
        site.decide("TrainingRetried", site.order(attempt=2, champion="0" * 64))
        site.wait_results(2)
        site.decide("TrainingRetried", site.order(attempt=3))
        final, passing, finished = site.wait_results(3)
    assert isinstance(final, TrainingFailed)
    assert isinstance(passing, TrainingFailed)
    assert (final.retryable, passing.retryable) == (False, True)
    assert "rows to train on" in final.reason
    assert isinstance(finished, TrainingFinished)


def test_a_recall_is_answered_without_workers_and_the_training_of_the_same_run_after_it(site: Site) -> None:
    """The registered release is no better than itself: none is recalled, then the run trains; a new trainer answers neither again."""
    order = site.order()
    recall = msgspec.structs.replace(order, recall=(site.champion, "0" * 64))
    with site.trainer() as meters:
        site.decide("RecallStarted", recall)
        (recalled,) = site.wait_results(1)
    site.decide("TrainingStarted", order)  # before there is a trainer: one that knew only the recall would answer it again
    with site.trainer(LocalPool()):
        _, finished = site.wait_results(2)
    assert isinstance(recalled, RecallFinished), recalled
    assert (recalled.run, recalled.release) == (order.run, "")
    assert "not proved better" in recalled.reason
    assert f"{'0' * 12} is passed over" in recalled.reason
    assert isinstance(finished, TrainingFinished), finished
    assert finished.run == order.run
    assert meters.registry.get_sample_value("homeostat_runs_total", {"model": site.model, "outcome": "not_recalled"}) == 1.0


class DeadPool(LocalPool):
    """What is left of a pool whose Ray died."""

    def load(self, data: TrialData) -> None:
        """Never."""
        raise PoolFailed("Ray did not take the rows: the cluster is gone")


def test_a_pool_whose_ray_died_costs_one_attempt_and_the_next_has_another(site: Site) -> None:
    """The trainer lives on: the retry is carried out on a pool that was started for it."""
    with site.trainer(DeadPool(), LocalPool()):
        site.decide("TrainingStarted", site.order())
        site.wait_results(1)
        site.decide("TrainingRetried", site.order(attempt=2))
        lost, finished = site.wait_results(2)
    assert isinstance(lost, TrainingFailed)
    assert lost.retryable
    assert "the cluster is gone" in lost.reason
    assert isinstance(finished, TrainingFinished), finished
