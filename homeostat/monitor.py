"""The monitor role: predictions and labels in, windows, lake files and dead letters out. One process reads all partitions."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from config.settings import Settings
from homeostat.monitor_outputs import ROLE, Publisher
from homeostat.monitor_sources import Sources
from homeostat.monitor_start import DEAD_LETTERS, SOURCES, refused_before, states_at_start
from streams import metric_names as metrics
from streams import topics
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.crash_points import CrashOnce
from streams.adapters.lake import LakeWriter
from streams.adapters.prometheus import Meters
from streams.adapters.repeats_files import RepeatsFiles
from streams.adapters.secret import load_or_create_key
from streams.adapters.status_server import StatusServer
from streams.adapters.store import DirectoryStore
from streams.partition_fold import FoldRules
from streams.ports import LogReader, LogUnavailable, LogWriter
from streams.prediction_id import Sealer

BATCH: Final = 2_000
LONGEST_POLL_S: Final = 0.1
LAG_EVERY_S: Final = 2.0
CLOSE_S: Final = 5.0
LEFTOVER_S: Final = 3_600.0
"""A temporary file of the lake this old was left by a process that was killed."""
UNKNOWN_WAIT: Final = timedelta(seconds=30)
"""How old a prediction of a foreign system must be before a contract or release that is not in the store counts as unknown."""

log = logging.getLogger("homeostat.monitor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The monitor's connections to the log: one reads the sources, one everything else, one writes (without gaps)."""

    sources: LogReader
    others: LogReader
    writer: LogWriter


class Monitor:
    """The loop: read, fold, flush, beat."""

    def __init__(self, settings: Settings, clients: Clients, meters: Meters, *, unknown_wait: timedelta = UNKNOWN_WAIT) -> None:
        self._reader = clients.sources
        self._meters = meters
        self._poll_s = min(LONGEST_POLL_S, settings.tick_ms / 2_000)
        self._lag_at = 0.0
        files = RepeatsFiles(settings.root / "repeats")
        states, letters_since = states_at_start(clients.others, files)

        def letter_ends() -> dict[int, int]:
            return {partition: offset for (_, partition), offset in clients.others.end_offsets(DEAD_LETTERS).items()}

        lake = LakeWriter(settings.lake)
        lake.sweep(LEFTOVER_S)
        self._publisher = Publisher(
            clients.writer, lake, files, meters, letter_ends, CrashOnce(settings.crash_at, settings.crashed)
        )
        self._sources = Sources(
            states,
            refused_before(clients.others, letters_since, states),
            rules=FoldRules(
                sealer=Sealer(load_or_create_key(settings.secret_file)),
                horizon=timedelta(days=settings.label_horizon_days),
                tick_ms=settings.tick_ms,
                lake_tick_ms=settings.lake_tick_ms,
            ),
            store=DirectoryStore(settings.store),
            unknown_wait=unknown_wait,
            take=self._publisher.take,
        )
        self._sources.assign(self._reader)
        self._meter_blocked()

    def turn(self, now: datetime) -> int:
        """One round; returns how many records were read. Raises LogUnavailable when something could not be written."""
        messages = self._reader.poll(self._poll_s, BATCH)
        changed = self._sources.fold(messages, now)
        self._publisher.flush()
        if self._sources.retry(now) or changed:
            self._sources.assign(self._reader)
            self._meter_blocked()
        busy = {(message.topic, message.partition) for message in messages}
        self._publisher.beat(self._sources.heartbeats_due(self._reader, [place for place in SOURCES if place not in busy], now))
        for topic, n in Counter(message.topic for message in messages).items():
            self._meters.counter(metrics.RECORDS_READ, role=ROLE, topic=topic).inc(n)
        self._meter_lag()
        return len(messages)

    def position(self) -> dict[str, object]:
        """For the status server: by partition, the next offset to be folded."""
        return {f"{topic}-{partition}": offset for (topic, partition), offset in self._sources.positions().items()}

    def _meter_blocked(self) -> None:
        for topic in (topics.PREDICTIONS, topics.LABELS):
            blocked = sum(place[0] == topic for place in self._sources.blocked)
            self._meters.gauge(metrics.PARTITIONS_BLOCKED, role=ROLE, topic=topic).set(blocked)

    def _meter_lag(self) -> None:
        if time.monotonic() < self._lag_at:
            return
        self._lag_at = time.monotonic() + LAG_EVERY_S
        try:
            ends = self._reader.end_offsets(SOURCES)
        except LogUnavailable as error:
            log.warning("lag not known now: %s", error)
            return
        lag = dict.fromkeys((topics.PREDICTIONS, topics.LABELS), 0)
        for place, offset in self._sources.positions().items():
            lag[place[0]] += max(0, ends[place] - offset)
        for topic, records in lag.items():
            self._meters.gauge(metrics.LAG_RECORDS, role=ROLE, topic=topic).set(records)


def run(settings: Settings, stop: threading.Event, *, unknown_wait: timedelta = UNKNOWN_WAIT) -> None:
    """Count until `stop`. Raises LogUnavailable when a delivery fails: started again, it repeats what is not known to be written."""
    registry = CollectorRegistry()
    clients = Clients(
        sources=ConfluentReader(settings.bootstrap_servers),
        others=ConfluentReader(settings.bootstrap_servers),
        writer=ConfluentWriter(settings.bootstrap_servers, gapless=True),
    )
    try:
        monitor = Monitor(settings, clients, Meters(registry), unknown_wait=unknown_wait)
        server = StatusServer(settings.monitor_port, registry, monitor.position)
        server.start()
        try:
            while not stop.is_set():
                monitor.turn(datetime.now(UTC))
        finally:
            server.stop()
    finally:
        clients.writer.close(CLOSE_S)
        clients.others.close()
        clients.sources.close()
