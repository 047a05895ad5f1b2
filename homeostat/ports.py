"""Ports that are free on this machine, chosen for what runs here."""

from __future__ import annotations

from typing import Final

import msgspec

from config.settings import ConfigurationError, Settings
from streams.adapters.loopback import LOOPBACK, answers, free_port, is_free

INTERNAL: Final = ("broker_port", "monitor_port", "agents_port", "control_port", "standby_port", "trainer_port")
"""Settings whose port nobody outside needs to know: another is taken where one is no longer free."""


def with_ports(settings: Settings) -> Settings:
    """The settings with a free port for everything, and the embedded broker's address where there is no other cluster.

    Ports chosen before are kept where they are still free. Raises ConfigurationError when the serving port is taken.
    """
    embedded = settings.bootstrap_servers == "" or settings.broker_port != 0
    taken = {settings.serving_port}
    chosen: dict[str, object] = {"serving_port": _serving_port(settings)}
    for name in INTERNAL:
        port = getattr(settings, name)
        if name == "broker_port" and not embedded:
            port = 0
        elif port == 0 or port in taken or not is_free(port):
            port = _free_port(taken)
        taken.add(port)
        chosen[name] = port
    settings = msgspec.structs.replace(settings, **chosen)
    if embedded:
        settings = msgspec.structs.replace(settings, bootstrap_servers=f"{LOOPBACK}:{settings.broker_port}")
    return settings


def _serving_port(settings: Settings) -> int:
    if settings.serving_port == 0:
        return _free_port(set())
    if answers(f"127.0.0.1:{settings.serving_port}") or not is_free(settings.serving_port):
        raise ConfigurationError(
            f"port {settings.serving_port} is taken; stop what listens there, or choose another with --port (0: any free one)."
        )
    return settings.serving_port


def _free_port(taken: set[int]) -> int:
    port = free_port()
    while port in taken:
        port = free_port()
    return port
