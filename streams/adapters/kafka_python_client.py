"""What all kafka-python clients share: their settings, their errors in our words, and an end that is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from kafka import errors as kafka_errors

from streams.adapters.loopback import wait_until_any_answers
from streams.ports import Fenced, LogUnavailable, Outgoing, PositionLost, RecordTooLarge

CLOSE_S: Final = 1.0
FENCED: Final = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)
TOO_LARGE: Final = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
LOST: Final = (kafka_errors.OffsetOutOfRangeError, kafka_errors.NoOffsetForPartitionError)


def client_settings(bootstrap_servers: str, timeout_s: float) -> dict[str, Any]:
    """What every kafka-python client is given, once a server listens. Security settings belong here, once.

    Raises LogUnavailable: a client that is made while nothing listens sits for 30 s.
    """
    if not wait_until_any_answers(bootstrap_servers, timeout_s):
        raise LogUnavailable(f"nothing listens at {bootstrap_servers} after {timeout_s:.0f} s. Is the broker running?")
    return {
        "bootstrap_servers": [address.strip() for address in bootstrap_servers.split(",")],
        "reconnect_backoff_max_ms": 1_000,
        "bootstrap_timeout_ms": int(timeout_s * 1000),
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }


@contextmanager
def translated(what: str) -> Iterator[None]:
    """kafka-python's errors in our own words."""
    try:
        yield
    except FENCED as error:
        raise Fenced(f"{what}: another process owns this id now") from error
    except TOO_LARGE as error:
        raise RecordTooLarge(f"{what}: {error}") from error
    except LOST as error:
        raise PositionLost(f"{what}: {error}") from error
    except kafka_errors.KafkaError as error:
        raise LogUnavailable(f"{what}: {error!r}") from error


def send(producer: Any, record: Outgoing) -> Any:
    return producer.send(record.topic, value=record.value, key=record.key, partition=record.partition)


def close_producer(producer: Any, timeout_s: float) -> None:
    """Flush for at most so long; what could not be flushed is given up, and its futures fail."""
    try:
        producer.close(timeout=timeout_s)
    except kafka_errors.KafkaTimeoutError:
        # The client's own close raises before it ends its thread when records are left; this is its own forced way.
        producer._sender.force_close()
        producer._sender.join(CLOSE_S)
        with suppress(kafka_errors.KafkaTimeoutError):
            producer.close(timeout=CLOSE_S)
