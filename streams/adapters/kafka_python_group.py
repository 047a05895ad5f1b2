"""Membership in a group that shares the partitions of one topic, through kafka-python.

It says which partitions are ours and nothing else. Reading them, and from where, is the reader's; the group's committed
offsets are neither written nor read: whoever leads a partition has its position in a snapshot that was committed with
what it decided. Nor is a partition safe because the group gave it to us: what fences is the transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer
from kafka import errors as kafka_errors
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import MemberState

from streams.adapters.kafka_python_client import client_settings, translated
from streams.ports import LogUnavailable

SESSION_S: Final = 6.0
"""A member that is silent for so long loses its share. The least that a Kafka cluster takes unless it is told otherwise."""
HEARTBEAT_S: Final = 1.0
"""How often a member hears that the others are rearranging. A hung member's share is led again SESSION_S + HEARTBEAT_S later."""
LONGEST_TURN_S: Final = 30.0
"""A member that does not ask for its share for so long gives it up, and is not waited for."""
ASK_EVERY_S: Final = 0.1
JOINING_S: Final = 0.5

log = logging.getLogger("homeostat.group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Partitions that are ours. Between two shares of one `membership` nobody else had what is in both."""

    partitions: frozenset[int]
    membership: int


class KafkaPythonGroup:
    """One member. `member` names it for the group: started again under that name, it has its share back at once."""

    def __init__(self, bootstrap_servers: str, *, group: str, topic: str, member: str, timeout_s: float = 10.0) -> None:
        self._servers = bootstrap_servers
        self._timeout_s = timeout_s
        self._group = group
        self._member = member
        self._asked_at = 0.0
        self._share: Share | None = None
        with translated("the group could not be joined"):
            self._consumer = KafkaConsumer(
                **client_settings(bootstrap_servers, timeout_s),
                group_id=group,
                group_instance_id=member,
                session_timeout_ms=int(SESSION_S * 1000),
                heartbeat_interval_ms=int(HEARTBEAT_S * 1000),
                max_poll_interval_ms=int(LONGEST_TURN_S * 1000),
                # Of members that come back under their names everyone gets what it had.
                partition_assignment_strategy=[RangePartitionAssignor],
                enable_auto_commit=False,
            )
            self._changes = _Changes()
            self._consumer.subscribe([topic], listener=self._changes)
            # Known before the first join, or this member might share out a topic of which it knows no partition.
            if not self._consumer.partitions_for_topic(topic):
                raise kafka_errors.UnknownTopicOrPartitionError(topic)

    def share(self) -> Share | None:
        """Our share now; None while it is not known (joining, or unheard for a session), after a short wait.

        To be called often: it is also what keeps us in. Raises Fenced when another process has our name, LogUnavailable.
        """
        if self._share is not None and time.monotonic() - self._asked_at < ASK_EVERY_S and self._heard():
            return self._share
        with translated("the group could not be asked"):
            # Its own coordinator: the consumer's poll would go on to fetch. And a join that ends while nobody waits for it is
            # begun again (3.0.12), so whoever joins waits long.
            self._consumer._coordinator.poll(timeout_ms=0 if self._share is not None else int(JOINING_S * 1000))
            settled = self._consumer.group_metadata().state == MemberState.STABLE
        self._asked_at = time.monotonic()
        self._share = self._changes.share() if settled and self._heard() else None
        return self._share

    def leave(self) -> None:
        """Tell the group that we are gone for good, so that the others need not wait for our silence to last."""
        with suppress(LogUnavailable), translated("the group could not be left"):
            settings = client_settings(self._servers, self._timeout_s)
            admin = KafkaAdminClient(
                **{name: settings[name] for name in settings.keys() & KafkaAdminClient.DEFAULT_CONFIG.keys()}
            )
            try:
                admin.remove_group_members(self._group, [MemberToRemove(group_instance_id=self._member, reason="stopped")])
            finally:
                admin.close()

    def close(self) -> None:
        """Release the client. Without `leave` our share is kept for us until the session is over."""
        self._consumer.close(autocommit=False, timeout_ms=int(self._timeout_s * 1000))

    def _heard(self) -> bool:
        """Whether the broker answered within a session: a process that slept for longer may no longer be in."""
        return not self._consumer._coordinator.heartbeat.session_timeout_expired()  # the client has no public way to ask


class _Changes(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """What the client tells, from a thread of its own, of what we get and lose."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partitions: frozenset[int] | None = None
        self._membership = 0

    def share(self) -> Share | None:
        """What was told last; None between losing one share and getting the next."""
        with self._lock:
            if self._partitions is None:
                return None
            return Share(partitions=self._partitions, membership=self._membership)

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """All that is ours from now on."""
        with self._lock:
            self._partitions = frozenset(place.partition for place in assigned)

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:  # noqa: ARG002  # the library's signature
        """The group rearranges; it waits for us before it gives anything of ours to another."""
        with self._lock:
            self._partitions = None

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:  # noqa: ARG002  # as above
        """The group gave us up: others may have had all of it meanwhile."""
        with self._lock:
            self._partitions = None
            self._membership += 1
