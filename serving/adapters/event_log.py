"""Prediction events on their way to the log, after the client has its answer; what is lost is counted and said."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from streams.adapters.prometheus import Meters
from streams.codec import encode_json
from streams.events import Predicted
from streams.metric_names import EVENTS_DROPPED, EVENTS_LOGGED
from streams.ports import LogWriter, Outgoing
from streams.topics import PREDICTIONS

COMPLAIN_EVERY_S: Final = 10.0

_log = logging.getLogger(__name__)


class EventLog:
    """Queues events with the writer, whose queue is bounded in bytes and holds them while the broker is away."""

    def __init__(self, writer: LogWriter, meters: Meters) -> None:
        self._writer = writer
        self._meters = meters
        self._told: dict[str, Callable[[Exception | None], None]] = {}
        self._complain_at = 0.0
        self._dropped = 0

    def post(self, event: Predicted) -> None:
        """Queue one event; never waits, never raises. A full queue drops it: counted, and logged now and then."""
        told = self._told.get(event.model)
        if told is None:
            told = self._told[event.model] = self._told_of(event.model)
        record = Outgoing(topic=PREDICTIONS, key=event.id.encode(), value=encode_json(event))
        if not self._writer.post(record, told):
            told(BufferError("the queue to the broker is full (producer_queue_mib)"))

    def close(self, timeout_s: float) -> None:
        """Wait so long for what is queued; what is left is dropped and counted."""
        self._writer.close(timeout_s)
        if self._dropped:
            _log.error("%d prediction events were dropped in the life of this process", self._dropped)

    def _told_of(self, model: str) -> Callable[[Exception | None], None]:
        logged = self._meters.counter(EVENTS_LOGGED, model=model)
        dropped = self._meters.counter(EVENTS_DROPPED, model=model)

        def told(failure: Exception | None) -> None:
            if failure is None:
                logged.inc()
                return
            dropped.inc()
            self._dropped += 1
            now = time.monotonic()
            if now >= self._complain_at:
                self._complain_at = now + COMPLAIN_EVERY_S
                _log.error("prediction events are being dropped, data is lost (%d so far): %s", self._dropped, failure)

        return told
