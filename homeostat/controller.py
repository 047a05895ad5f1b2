"""The controller role: folds every partition of `control` it leads into decisions and routes."""

from __future__ import annotations

import logging
import socket
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry

from config.settings import Settings
from homeostat.control_fold import Folded
from homeostat.leader import Leader
from homeostat.leadership import CLIENT_TIMEOUT_S, Leadership
from homeostat.mirror import Mirror
from streams import metric_names as metrics
from streams import topics
from streams.adapters.crash_points import CrashOnce
from streams.adapters.kafka_python import KafkaPythonReader, KafkaPythonTransaction, KafkaPythonWriter
from streams.adapters.kafka_python_group import KafkaPythonGroup, Share
from streams.adapters.prometheus import Meters
from streams.adapters.status_server import StatusServer
from streams.ports import FencedTransaction, LogReader, LogUnavailable, LogWriter, Message

log = logging.getLogger("homeostat.controller")

ROLE: Final = "controller"
POLL_S: Final = 0.02
BATCH: Final = 500
RETRY_S: Final = 1.0
GROUP: Final = "homeostat-control"


_HOLDS: Final = {"Registered": 0.0, "Paused": 1.0, "Resumed": 0.0}


class Controller:
    """One process that leads its share of the partitions; it shares them with every other controller, whoever comes and goes."""

    def __init__(self, settings: Settings, meters: Meters) -> None:
        self._settings = settings
        self._meters = meters
        self._crash = CrashOnce(settings.crash_at, settings.crashed)
        self.positions: dict[str, int] = {}
        """Of the partitions that are ours: the next record to be folded."""
        self.decided: dict[str, str] = {}
        """Per partition the last decision made: readers see it a moment after its transaction has been committed."""
        self.routes: dict[str, tuple[int, int]] = {}
        """Of the models that are ours: generation and revision."""

    def session(self, stop: threading.Event) -> None:
        """Lead until stopped. Raises LogUnavailable when the broker is away, Fenced when another leader took over."""
        servers = self._settings.bootstrap_servers
        member = f"control-{socket.gethostname()}-{self._settings.control_port}"
        with ExitStack() as clients:
            group = KafkaPythonGroup(servers, group=GROUP, topic=topics.CONTROL, member=member)
            clients.callback(group.close)
            reader = KafkaPythonReader(servers)
            clients.callback(reader.close)
            scout = KafkaPythonReader(servers)
            clients.callback(scout.close)
            writer = KafkaPythonWriter(servers)
            clients.callback(writer.close, 1.0)
            leadership = Leadership(scout, self._transaction, Mirror(self._settings.mirror, crash=self._crash), self._crash)
            clients.callback(leadership.close)
            clients.callback(self._report, {}, {})
            self._lead(group, leadership, reader, writer, stop)
            group.leave()

    def _transaction(self, owner: str) -> FencedTransaction:
        return KafkaPythonTransaction(self._settings.bootstrap_servers, owner, self._crash)

    def _lead(
        self, group: KafkaPythonGroup, leadership: Leadership, reader: LogReader, writer: LogWriter, stop: threading.Event
    ) -> None:
        ours: Share | None = None
        while not stop.is_set():
            share = group.share()
            if share is None:
                continue  # nothing is folded while the group rearranges, or while it may think that we are gone
            if share != ours:
                if ours is not None and share.membership != ours.membership:
                    leadership.drop(list(leadership.leaders))  # others may have led them meanwhile
                starts = leadership.take(share.partitions)
                reader.assign({(topics.CONTROL, partition): offset for partition, offset in starts.items()})
                ours = share
                self._report(starts, leadership.leaders)
                log.info("sharing control: %d of its partitions are ours", len(starts))
            self._turn(leadership, reader, writer)

    def _turn(self, leadership: Leadership, reader: LogReader, writer: LogWriter) -> None:
        batches: dict[int, list[Message]] = defaultdict(list)
        for message in reader.poll(POLL_S, BATCH):
            batches[message.partition].append(message)
        leadership.lead(list(batches))
        for partition, messages in batches.items():
            leader = leadership.leaders[partition]
            fresh = [message for message in messages if message.offset >= leader.state.offset]
            if fresh:
                leader.step(fresh, partial(self._told, leader))
            self.routes.update(_routes(leader))
            self.positions[str(partition)] = leader.state.offset
            self._meters.counter(metrics.RECORDS_READ, role=ROLE, topic=topics.CONTROL).inc(len(fresh))
        self._meters.gauge(metrics.MIRROR_BEHIND).set(leadership.behind)
        now = datetime.now(UTC)
        ticks = [tick for leader in leadership.leaders.values() for tick in leader.due_ticks(now)]
        if ticks:
            writer.write(ticks, CLIENT_TIMEOUT_S)

    def _report(self, positions: Mapping[int, int], leaders: Mapping[int, Leader]) -> None:
        """What is ours, and nothing of what was."""
        self.positions = {str(partition): offset for partition, offset in sorted(positions.items())}
        self.decided = {partition: decision for partition, decision in self.decided.items() if partition in self.positions}
        self.routes = {name: route for leader in leaders.values() for name, route in _routes(leader).items()}

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
            "Recalled": metrics.RECALLS,
            "ChallengerFrozen": metrics.CHALLENGERS_FROZEN,
        }
        if kind in counters:
            self._meters.counter(counters[kind], model=model).inc()
        if kind in _HOLDS:
            self._meters.gauge(metrics.HELD, model=model).set(_HOLDS[kind])
        if kind == "StalenessMeasured" and "lost_errors" in numbers:
            self._meters.gauge(metrics.STALENESS_LOST, model=model).set(numbers["lost_errors"])
            self._meters.gauge(metrics.STALENESS_PRICE, model=model).set(numbers["price_errors"])


def _routes(leader: Leader) -> dict[str, tuple[int, int]]:
    return {name: (model.rollout.generation, model.revision) for name, model in leader.state.models.items()}


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead until `stop`; a broker that is away is waited for; Fenced ends the process."""
    registry = CollectorRegistry()
    controller = Controller(settings, Meters(registry))

    def position() -> dict[str, object]:
        return {
            "control": controller.positions,
            "decided": controller.decided,
            "generations": {name: generation for name, (generation, _) in controller.routes.items()},
            "revisions": {name: revision for name, (_, revision) in controller.routes.items()},
        }

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
