"""The embedded broker as a role of its own: a process that starts it, ends it, and ends when it ends."""

from __future__ import annotations

import logging
import threading
from typing import Final

from config.settings import Settings
from streams.adapters.embedded_broker import EmbeddedBroker

LOOK_EVERY_S: Final = 0.2
log = logging.getLogger("homeostat.broker")


class BrokerEnded(Exception):
    """The broker ended by itself; whoever supervises this process starts it again, with the same data and port."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Run the broker until `stop`. Raises BrokerEnded, or BrokerFailed when it does not start."""
    broker = EmbeddedBroker(settings.broker, settings.broker_port)
    broker.start()
    log.info("Apache Kafka answers on %s; its logs are in %s", broker.bootstrap_servers, broker.logs)
    try:
        while not stop.wait(LOOK_EVERY_S):
            if not broker.is_alive():
                raise BrokerEnded(f"Apache Kafka ended by itself; see {broker.logs}.")
    finally:
        broker.stop()
