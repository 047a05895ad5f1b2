"""Follows `routes`, and on `control` the policy of each model, for as long as serving runs; survives any broker outage."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from serving.adapters.route_installer import RouteInstaller
from serving.served_policy import ServedPolicy, served_policy
from streams.codec import Undecodable, decode_json
from streams.events import ModelRegistered, PolicySet, Route
from streams.policy_log import PolicyLog
from streams.ports import LogReader, LogUnavailable, Message, PositionLost
from streams.topics import CONTROL, ROUTES, named

EARLIEST: Final = -2
POLL_S: Final = 0.1
POLL_LIMIT: Final = 1_000
RETRY_S: Final = 1.0

_PARTITIONS: Final = tuple((topic, number) for topic in (ROUTES, CONTROL) for number in range(named(topic).partitions))
_CONTROL_PARTITIONS: Final = tuple(partition for partition in _PARTITIONS if partition[0] == CONTROL)

_log = logging.getLogger(__name__)

Ends = dict[tuple[str, int], int]


class RouteFollower:
    """Runs in a thread of its own: loading a release must not hold up answers."""

    def __init__(self, open_reader: Callable[[], LogReader], installer: RouteInstaller) -> None:
        self._open_reader = open_reader
        self._installer = installer
        self._waiting: dict[str, tuple[Route, Ends]] = {}
        self._policies = PolicyLog()
        self._newest: dict[str, ServedPolicy] = {}
        """Read, and not in force yet: an old one, looser perhaps, must not hold for the moment until the newest is read."""
        self._caught_up = threading.Event()

    @property
    def caught_up(self) -> bool:
        """Whether the log was read once up to the end that it had at the start."""
        return self._caught_up.is_set()

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop`; each time the log fails, begin again from its start after a pause (all of it is idempotent)."""
        while not stop.is_set():
            try:
                reader = self._open_reader()
                try:
                    self._follow(reader, stop)
                finally:
                    reader.close()
            except (LogUnavailable, PositionLost) as error:
                _log.warning("routes cannot be followed now, those in force go on: %s", error)
            except Exception:  # noqa: BLE001 - answers must not depend on this thread: on record, and begun again
                _log.exception("following the routes failed")
            stop.wait(RETRY_S)

    def _follow(self, reader: LogReader, stop: threading.Event) -> None:
        self._policies, self._newest = PolicyLog(), {}
        ends = reader.end_offsets(_PARTITIONS)
        reader.assign(dict.fromkeys(_PARTITIONS, EARLIEST))
        behind = True
        retry_at = 0.0
        while not stop.is_set():
            messages = reader.poll(POLL_S, POLL_LIMIT)
            self._take(messages, reader, ends)
            # Routes that were superseded long ago may name releases that are gone: only the last ones are installed.
            behind = behind and not _reached(reader, ends)
            if behind:
                continue
            for model, policy in self._newest.items():
                self._installer.set_policy(model, policy)
            self._newest.clear()
            now = time.monotonic()
            if self._release_waiting(reader) or now >= retry_at:
                self._installer.install()
                retry_at = now + RETRY_S
            self._caught_up.set()

    def _take(self, messages: Sequence[Message], reader: LogReader, read_to: Ends) -> None:
        """`read_to`: what is read in any case before a route is offered."""
        routes: dict[str, tuple[Route, bool]] = {}
        for message in messages:
            if message.topic == CONTROL:
                self._take_policy(message)
            elif message.value:
                try:
                    route = decode_json(message.value, Route)
                except Undecodable as error:
                    _log.error("routes-%d offset %d is no route: %s", message.partition, message.offset, error)
                    continue
                routes[route.model] = (route, message.offset < read_to[message.topic, message.partition])
        for model, (route, old) in routes.items():
            # A registration stands in `control` before its route exists, but the two topics are read in no common order.
            known = old or self._installer.knows_policy(model)
            self._waiting[model] = (route, {} if known else reader.end_offsets(_CONTROL_PARTITIONS))

    def _take_policy(self, message: Message) -> None:
        record = self._policies.acting(message)
        if isinstance(record, ModelRegistered | PolicySet):
            self._newest[record.model] = served_policy(record.policy)

    def _release_waiting(self, reader: LogReader) -> bool:
        """Offer the routes whose model's policy is known by now; whether there was one."""
        ripe = [
            route for route, ends in self._waiting.values() if self._installer.knows_policy(route.model) or _reached(reader, ends)
        ]
        for route in ripe:
            del self._waiting[route.model]
            self._installer.offer(route)
        return bool(ripe)


def _reached(reader: LogReader, ends: Ends) -> bool:
    return all(reader.position(partition) >= end for partition, end in ends.items())
