"""What all librdkafka clients share: their settings, and questions to the cluster that need no reader."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.ports import LogUnavailable

UNSETTLED: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""What a broker says of partitions that were made, or came back, a moment ago."""


class _Seldom(logging.Filter):
    """Lets one connection failure through in ten seconds: a client knocks at a dead broker every second, for hours."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is worth writing."""
        if not record.getMessage().startswith("FAIL"):
            return True
        seldom = record.created - self._last >= 10.0
        if seldom:
            self._last = record.created
        return seldom


_log = logging.getLogger(__name__)
_log.addFilter(_Seldom())


def client_settings(bootstrap_servers: str) -> dict[str, Any]:
    """What every librdkafka client is given. Security settings belong here, once."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "reconnect.backoff.max.ms": 1_000,  # the default, 10 s, is how long a returned broker would be ignored
        "allow.auto.create.topics": False,
        "log_level": 3,
        "logger": _log,
    }


def admin_client(bootstrap_servers: str) -> AdminClient:
    """For `topic_admin`."""
    return AdminClient(client_settings(bootstrap_servers))


def nodes_of(bootstrap_servers: str, timeout_s: float) -> int:
    """How many nodes the cluster says it has. Raises LogUnavailable."""
    admin = admin_client(bootstrap_servers)  # named: a client that is let go of takes its pending answers with it
    try:
        return len(admin.describe_cluster(request_timeout=timeout_s).result(timeout_s + 1.0).nodes)
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"no answer from {bootstrap_servers} within {timeout_s:.0f} s ({error})") from error


def offsets_of(
    admin: AdminClient, partitions: Sequence[tuple[str, int]], which: OffsetSpec, timeout_s: float
) -> dict[tuple[str, int], int]:
    """Offsets of many partitions in one request (a consumer's own question waits behind its fetch, 0.1 s each).

    Raises LogUnavailable.
    """
    deadline = time.monotonic() + timeout_s
    asked = {TopicPartition(*partition): which for partition in partitions}
    while asked:
        left = max(0.1, deadline - time.monotonic())
        try:
            # Connects first: a client that asks before it is connected waits three seconds for its next try.
            admin.list_topics(next(iter(asked)).topic, timeout=left)
            answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=left)
            return {(p.topic, p.partition): answer.result(left + 1.0).offset for p, answer in answers.items()}
        except (KafkaException, TimeoutError) as error:
            code = error.args[0].code() if isinstance(error, KafkaException) else KafkaError._TIMED_OUT
            if code not in UNSETTLED or time.monotonic() >= deadline:
                raise LogUnavailable(f"the offsets of {len(partitions)} partitions could not be asked: {error}") from error
            time.sleep(0.05)
    return {}
