"""Creates the declared topics, and refuses to go on where an existing one is not what was declared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from streams.adapters.confluent_client import admin_client, offsets_of
from streams.ports import LogUnavailable
from streams.topics import TOPICS, Topic

VERIFIED: Final = ("message.timestamp.type", "cleanup.policy")
"""Windows are cut by the broker's clock, and a compacted event log would lose events."""
POLL_S: Final = 0.05


class TopicMismatch(Exception):
    """A topic exists and is not as declared; nothing was changed."""


def create_topics(
    bootstrap_servers: str, *, replication: int = 1, topics: Sequence[Topic] = TOPICS, timeout_s: float = 30.0
) -> None:
    """Create what is missing, verify the rest, and return once all partitions have a leader. Safe to repeat.

    Raises TopicMismatch, LogUnavailable.
    """
    deadline = time.monotonic() + timeout_s
    admin = admin_client(bootstrap_servers)
    try:
        existing = admin.list_topics(timeout=timeout_s).topics
        _create(admin, [topic for topic in topics if topic.name not in existing], replication, deadline)
        _wait_for_leaders(admin, topics, deadline)
        # A leader that is announced may not lead yet; one that tells its offsets does.
        partitions = [(topic.name, number) for topic in topics for number in range(topic.partitions)]
        offsets_of(admin, partitions, OffsetSpec.latest(), _left(deadline))
        _verify_configuration(admin, topics, deadline)
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"the topics could not be created or verified at {bootstrap_servers}: {error}") from error


def _create(admin: AdminClient, topics: Sequence[Topic], replication: int, deadline: float) -> None:
    if not topics:
        return
    new = [NewTopic(t.name, t.partitions, replication, config=t.configuration()) for t in topics]
    for future in admin.create_topics(new, operation_timeout=_left(deadline), request_timeout=_left(deadline)).values():
        try:
            future.result(_left(deadline) + 1.0)
        except KafkaException as error:
            # Another role was faster; what it made is verified like any other.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _wait_for_leaders(admin: AdminClient, topics: Sequence[Topic], deadline: float) -> None:
    while True:
        seen = admin.list_topics(timeout=_left(deadline)).topics
        _verify_partitions(topics, seen)
        if all(topic.name in seen and _led(seen[topic.name]) for topic in topics):
            return
        if time.monotonic() >= deadline:
            raise LogUnavailable("the new topics have no leaders yet; is the cluster healthy?")
        time.sleep(POLL_S)


def _led(metadata: Any) -> bool:
    return bool(metadata.partitions) and all(partition.leader >= 0 for partition in metadata.partitions.values())


def _verify_partitions(topics: Sequence[Topic], seen: Mapping[str, Any]) -> None:
    for topic in topics:
        count = len(seen[topic.name].partitions) if topic.name in seen else 0
        if count and count != topic.partitions:
            raise TopicMismatch(
                f"topic {topic.name} has {count} partitions, wanted {topic.partitions}: the order of a model's records and "
                "the dropping of repeats rest on it. Use an empty cluster, or move the topic away and start again."
            )


def _verify_configuration(admin: AdminClient, topics: Sequence[Topic], deadline: float) -> None:
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in topics]
    answers = admin.describe_configs(resources, request_timeout=_left(deadline))
    seen = {resource.name: future.result(_left(deadline) + 1.0) for resource, future in answers.items()}
    for topic in topics:
        wanted = topic.configuration()
        for setting in VERIFIED:
            value = seen[topic.name][setting].value
            if value != wanted[setting]:
                raise TopicMismatch(
                    f"topic {topic.name} has {setting}={value}, wanted {wanted[setting]}. "
                    f"Alter the topic (kafka-configs --alter --add-config {setting}={wanted[setting]}) and start again."
                )


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
