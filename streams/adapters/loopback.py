"""Loopback ports: finding a free one, and waiting until something listens."""

from __future__ import annotations

import random
import socket
import time
from typing import Final

LOOPBACK: Final = "127.0.0.1"
LOW: Final = 15_000
HIGH: Final = 32_000
"""Below every system's ephemeral range: a client that keeps knocking at a dead broker's ephemeral port can, on loopback,
be given that very port as its own source, connect to itself, and keep the broker from binding when it comes back."""
TRIES: Final = 200


def free_port() -> int:
    """A port that nothing listens on now."""
    # The port must differ between processes that start together, so the system's randomness and no seed.
    generator = random.SystemRandom()
    for _ in range(TRIES):
        port = generator.randrange(LOW, HIGH)
        if is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} in {TRIES} tries between {LOW} and {HIGH}. Give one explicitly.")


def is_free(port: int) -> bool:
    """Whether this process could listen on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(address: str, timeout_s: float = 1.0) -> bool:
    """Whether one `host:port` accepts a connection."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except OSError:
        return False
    return True


def wait_until_any_answers(bootstrap_servers: str, timeout_s: float) -> bool:
    """Whether one of the comma-separated servers accepts connections within the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        if any(answers(address.strip()) for address in bootstrap_servers.split(",")):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
