"""The trainer role: follows `decisions`, carries out one training order at a time on warm Ray workers, answers on `control`."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, assert_never

from prometheus_client import CollectorRegistry

from config.settings import Settings
from homeostat.frozen_challengers import ChallengerFiles
from homeostat.pools import Pools
from streams import metric_names as metrics
from streams import topics
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.crash_points import CrashOnce
from streams.adapters.prometheus import Meters
from streams.adapters.secret import load_or_create_key
from streams.adapters.status_server import StatusServer
from streams.adapters.store import DirectoryStore
from streams.codec import Undecodable, decode_json, encode_json
from streams.events import Decided, RecallFinished, TrainingFailed, TrainingFinished, TrainingOrder
from streams.ports import LogReader, LogUnavailable, LogWriter, Message, Outgoing, PositionLost
from streams.prediction_id import Sealer
from trainer.adapters.formats import FORMATS
from trainer.adapters.lake_source import LakeSource
from trainer.adapters.local_pool import LocalPool
from trainer.adapters.process_facts import commit, environment
from trainer.adapters.ray_pool import RayPool
from trainer.adapters.ray_process import RayPlace
from trainer.adapters.run_index import RunIndex
from trainer.open_runs import OpenRuns, answered, decided
from trainer.recall_run import nothing_recalled
from trainer.run import failed, run_order
from trainer.trial import PoolFailed, TrialPool
from trainer.workshop import Facts, Workshop

ROLE: Final = "trainer"
POLL_S: Final = 0.25
BATCH: Final = 1_000
WRITE_S: Final = 10.0
RETRY_S: Final = 1.0
EARLIEST: Final = -2
Result: TypeAlias = RecallFinished | TrainingFinished | TrainingFailed
_PLACES: Final = [(topics.DECISIONS, number) for number in range(topics.named(topics.DECISIONS).partitions)]

log = logging.getLogger("homeostat.trainer")


class Trainer:
    """Folds decisions, runs the oldest open order, answers it. Everything that it must not forget is in the log and the store."""

    def __init__(self, shop: Workshop, pools: Pools, meters: Meters, stop: threading.Event) -> None:
        self._shop = shop
        self._pools = pools
        self._meters = meters
        self._stop = stop
        self.runs = OpenRuns()
        self.positions: dict[str, int] = {}

    def session(self, reader: LogReader, writer: LogWriter) -> None:
        """Follow and answer until stopped. Raises LogUnavailable, PositionLost."""
        self.runs = OpenRuns()
        reader.assign(dict.fromkeys(_PLACES, EARLIEST))
        ends = reader.end_offsets(_PLACES)
        caught_up = False
        while not self._stop.is_set():
            self.take(reader.poll(POLL_S, BATCH))
            # An order from the past may have been ended since: none is run before all that is known is read.
            caught_up = caught_up or all(reader.position(place) >= end for place, end in ends.items())
            owed = self.runs.next() if caught_up else None
            if owed is not None:
                self._answer(*owed, writer)

    def take(self, messages: Sequence[Message]) -> None:
        """Fold records of `decisions`."""
        for message in messages:
            self.positions[str(message.partition)] = message.offset + 1
            try:
                self.runs = decided(self.runs, decode_json(message.value, Decided))
            except Undecodable as error:
                # Only the controller writes here; one unreadable record must not stop every training.
                log.error("%s-%d offset %d skipped: %s", message.topic, message.partition, message.offset, error)
        if messages:
            self._meters.counter(metrics.RECORDS_READ, role=ROLE, topic=topics.DECISIONS).inc(len(messages))

    def position(self) -> dict[str, object]:
        """For the status server: the next offset of each partition of `decisions`, and the runs that are open."""
        return {"decisions": dict(self.positions), "open": {model: order.run for model, order in self.runs.orders.items()}}

    def _answer(self, model: str, order: TrainingOrder, writer: LogWriter) -> None:
        self._shop.crash.reached("trainer:ordered")
        log.info("%s: run %s, attempt %d, as of %s", model, order.run, order.attempt, order.as_of.isoformat())
        result = self._run(model, order)
        if isinstance(result, TrainingFailed) and self._stop.is_set():
            # Stopped in the middle of it, which says nothing about the run: it stays open, and is taken up at the next start.
            return
        self._meter(result)
        if self._write(result, writer):
            self.runs = answered(self.runs, model, order)

    def _run(self, model: str, order: TrainingOrder) -> Result:
        try:
            # A recall fits nothing: it needs no workers, and does not wait for them.
            shop = self._shop if order.looks_first else dataclasses.replace(self._shop, pool=self._pools.warm())
            return run_order(order, model, shop)
        except PoolFailed as error:
            return failed(order, model, self._shop, str(error), retryable=True)
        # The one boundary: whatever goes wrong in a run ends that attempt, not the trainer and every other model's training.
        except Exception as error:
            log.exception("%s: run %s, attempt %d", model, order.run, order.attempt)
            reason = f"fault in the trainer, see its log: {type(error).__name__}: {error}"
            if order.looks_first:
                return nothing_recalled(order, model, self._shop, reason)
            return failed(order, model, self._shop, reason, retryable=True)

    def _write(self, result: Result, writer: LogWriter) -> bool:
        """Write until the broker has it (the id makes repeats harmless); False: stopped before that."""
        record = Outgoing(topic=topics.CONTROL, key=result.model.encode(), value=encode_json(result))
        while not self._stop.is_set():
            try:
                writer.write([record], WRITE_S)
            except LogUnavailable as error:
                log.warning("result of run %s not written yet: %s", result.run, error)
                self._stop.wait(RETRY_S)
            else:
                self._shop.crash.reached("trainer:result_written")
                return True
        return False

    def _meter(self, result: Result) -> None:
        match result:
            case RecallFinished():
                outcome = "not_recalled" if not result.release else "frozen" if result.challenger else "recalled"
                log.info("%s: run %s %s: %s", result.model, result.run, outcome, result.reason)
            case TrainingFinished():
                outcome = "passed" if result.passed else "refused"
                log.info("%s: run %s %s in %.2f s: %s", result.model, result.run, outcome, result.seconds, result.reason)
                self._meters.histogram(metrics.RUN_SECONDS, model=result.model).observe(result.seconds)
                trials = sum(name.startswith("trial_loss") for name in result.numbers)
                self._meters.counter(metrics.TRIALS, model=result.model).inc(trials)
            case TrainingFailed():
                outcome = "interrupted" if result.retryable else "failed"
                log.warning("%s: run %s %s: %s", result.model, result.run, outcome, result.reason)
            case _:
                assert_never(result)
        self._meters.counter(metrics.RUNS, model=result.model, outcome=outcome).inc()


def run(settings: Settings, stop: threading.Event, start: Callable[[], TrialPool] | None = None) -> None:
    """Train until `stop`; `start`: another pool than Ray's."""
    registry = CollectorRegistry()
    meters = Meters(registry)
    place = RayPlace(directory=settings.root / "ray", cpus=settings.ray_cpus, address=settings.ray_address)

    def lost() -> None:
        log.warning("a Ray worker died; its trial runs again on a new one")
        meters.counter(metrics.WORKERS_LOST).inc()

    pools = Pools(start or (lambda: RayPool(place, lost=lost, stopped=stop.is_set)))
    rows = ConfluentReader(settings.bootstrap_servers)
    trainer = Trainer(workshop(settings, rows), pools, meters, stop)
    server = StatusServer(settings.trainer_port, registry, trainer.position)
    server.start()
    try:
        _start_ahead(pools)
        while not stop.is_set():
            _session(settings, trainer, stop)
    finally:
        server.stop()
        rows.close()
        pools.close()


def _session(settings: Settings, trainer: Trainer, stop: threading.Event) -> None:
    """One life of the clients; the warm workers outlive it."""
    reader, writer = ConfluentReader(settings.bootstrap_servers), ConfluentWriter(settings.bootstrap_servers)
    try:
        trainer.session(reader, writer)
    except (LogUnavailable, PositionLost) as error:
        log.warning("the log cannot be followed, beginning again: %s", error)
        stop.wait(RETRY_S)
    finally:
        writer.close(RETRY_S)
        reader.close()


def _start_ahead(pools: Pools) -> None:
    """Ray takes seconds to start: before the first order, not in it."""
    try:
        pools.warm()
    except PoolFailed as error:
        log.error("%s Trying again at the first order.", error)


def workshop(settings: Settings, rows: LogReader) -> Workshop:
    """What runs need of this installation; a run is given the warm pool in place of the one named here."""
    sealer = Sealer(load_or_create_key(settings.secret_file))
    return Workshop(
        store=DirectoryStore(settings.store),
        results=RunIndex(settings.store / "runs"),
        source=LakeSource(settings.lake, rows, sealer, timedelta(days=settings.label_horizon_days)),
        pool=LocalPool(),
        formats=FORMATS,
        wall_clock=lambda: datetime.now(UTC),
        seconds=time.perf_counter,
        challengers=ChallengerFiles(settings.root),
        facts=Facts(environment=environment(), commit=commit()),
        crash=CrashOnce(settings.crash_at, settings.crashed),
    )
