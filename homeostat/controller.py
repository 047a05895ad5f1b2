"""The controller role: folds every partition of `control` it leads into decisions and routes."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry

from config.settings import Settings
from homeostat.control_fold import Folded, PartitionState
from homeostat.leader import Leader, owner, restore
from homeostat.read_topic import read_topic
from streams import metric_names as metrics
from streams import topics
from streams.adapters.kafka_python import KafkaPythonReader, KafkaPythonTransaction, KafkaPythonWriter
from streams.adapters.prometheus import Meters
from streams.adapters.status_server import StatusServer
from streams.codec import decode_msgpack
from streams.events import Snapshot
from streams.ports import LogReader, LogUnavailable, LogWriter, Message

log = logging.getLogger("homeostat.controller")

ROLE: Final = "controller"
POLL_S: Final = 0.02
BATCH: Final = 500
RETRY_S: Final = 1.0
CLIENT_TIMEOUT_S: Final = 10.0
_PARTITIONS: Final = [(topics.CONTROL, number) for number in range(topics.named(topics.CONTROL).partitions)]


class Controller:
    """One process that leads partitions; a leader is made at a partition's first record."""

    def __init__(self, settings: Settings, meters: Meters) -> None:
        self._settings = settings
        self._meters = meters
        self._leaders: dict[int, Leader] = {}
        self.positions: dict[str, int] = {}
        self.decided: dict[str, str] = {}
        """Per partition the last decision made: readers see it a moment after its transaction has been committed."""
        self.generations: dict[str, int] = {}

    def session(self, stop: threading.Event) -> None:
        """Lead until stopped. Raises LogUnavailable when the broker is away, Fenced when another leader took over."""
        bootstrap = self._settings.bootstrap_servers
        reader, writer = KafkaPythonReader(bootstrap), KafkaPythonWriter(bootstrap)
        try:
            snapshots = self._snapshots(reader)
            starts = {partition: state.offset for partition, state in snapshots.items()}
            # Where there are models, deadlines pass whether or not a record comes.
            self._lead([partition for partition, state in snapshots.items() if state.models])
            positions = {place: starts.get(place[1], 0) for place in _PARTITIONS}
            self.positions = {str(number): offset for (_, number), offset in positions.items()}
            reader.assign(positions)
            while not stop.is_set():
                self._turn(reader, writer)
        finally:
            for leader in self._leaders.values():
                leader.close()
            self._leaders.clear()
            writer.close(1.0)
            reader.close()

    def _turn(self, reader: LogReader, writer: LogWriter) -> None:
        batches: dict[int, list[Message]] = defaultdict(list)
        for message in reader.poll(POLL_S, BATCH):
            batches[message.partition].append(message)
        self._lead([partition for partition in batches if partition not in self._leaders])
        for partition, messages in batches.items():
            leader = self._leaders[partition]
            fresh = [message for message in messages if message.offset >= leader.state.offset]
            if fresh:
                leader.step(fresh, partial(self._told, leader))
            self.generations.update({name: model.rollout.generation for name, model in leader.state.models.items()})
            self.positions[str(partition)] = leader.state.offset
            self._meters.counter(metrics.RECORDS_READ, role=ROLE, topic=topics.CONTROL).inc(len(fresh))
        now = datetime.now(UTC)
        ticks = [tick for leader in self._leaders.values() for tick in leader.due_ticks(now)]
        if ticks:
            writer.write(ticks, CLIENT_TIMEOUT_S)

    def _lead(self, partitions: Sequence[int]) -> None:
        """Lead these partitions from their newest snapshots on; whoever led them before is fenced."""
        if not partitions:
            return
        transactions = {}
        for partition in partitions:
            transactions[partition] = KafkaPythonTransaction(self._settings.bootstrap_servers, owner(partition))
            transactions[partition].begin(CLIENT_TIMEOUT_S)
        # Only now, with the predecessors fenced, are the newest snapshots the last ones there will be.
        scout = KafkaPythonReader(self._settings.bootstrap_servers)
        try:
            states = self._snapshots(scout)
        finally:
            scout.close()
        for partition, transaction in transactions.items():
            state = states.get(partition, PartitionState())
            self._leaders[partition] = Leader(partition, transaction, state, self._settings.crash_at)
            log.info("leading partition %d of control from offset %d, models %s", partition, state.offset, sorted(state.models))

    def _snapshots(self, reader: LogReader) -> dict[int, PartitionState]:
        states = {}
        for message in read_topic(reader, topics.SNAPSHOTS, CLIENT_TIMEOUT_S):
            snapshot = decode_msgpack(message.value, Snapshot, topics.named(topics.SNAPSHOTS).max_record_bytes)
            if snapshot.topic == topics.CONTROL and snapshot.id == owner(snapshot.partition):
                states[snapshot.partition] = restore(snapshot)
        return states

    def _told(self, leader: Leader, result: Folded) -> None:
        for decision in result.decisions:
            self.decided[str(decision.partition)] = decision.id
            # Names in metrics are bounded by registrations: what speaks of no registered model is counted under ''.
            model = decision.model if decision.model in leader.state.models else ""
            self._meters.counter(metrics.DECISIONS, model=model, kind=decision.kind).inc()
            log.info("%s %s: %s %s", decision.model, decision.kind, decision.why, decision.numbers)
            self._meter(decision.kind, model, decision.numbers)
        if result.dead_letter is not None:
            self._meters.counter(metrics.DEAD_LETTERS, role=ROLE, topic=topics.CONTROL, reason=result.dead_letter.reason).inc()

    def _meter(self, kind: str, model: str, numbers: dict[str, float]) -> None:
        counters = {
            "TrainingStarted": metrics.TRAININGS,
            "Promoted": metrics.PROMOTIONS,
            "RolledBack": metrics.ROLLBACKS,
        }
        if kind in counters:
            self._meters.counter(counters[kind], model=model).inc()
        if kind == "StalenessMeasured" and "lost_errors" in numbers:
            self._meters.gauge(metrics.STALENESS_LOST, model=model).set(numbers["lost_errors"])
            self._meters.gauge(metrics.STALENESS_PRICE, model=model).set(numbers["price_errors"])


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead until `stop`; a broker that is away is waited for; Fenced ends the process."""
    registry = CollectorRegistry()
    controller = Controller(settings, Meters(registry))

    def position() -> dict[str, object]:
        return {"control": controller.positions, "decided": controller.decided, "generations": controller.generations}

    server = StatusServer(settings.control_port, registry, position)
    server.start()
    try:
        while not stop.is_set():
            try:
                controller.session(stop)
            except LogUnavailable as error:
                log.warning("the log is away (%s); trying again in %.0f s", error, RETRY_S)
                stop.wait(RETRY_S)
    finally:
        server.stop()
