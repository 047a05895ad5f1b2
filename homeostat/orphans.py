"""The embedded broker of a process that is gone: it answers nobody any more, and keeps its directory."""

from __future__ import annotations

from typing import Final

from config.settings import Settings
from homeostat.readiness import NotReady
from streams.adapters.embedded_broker import BrokerFailed, end_orphan

OWNER_S: Final = 20.0
"""A role whose supervisor was killed is still stopping its broker in order."""


def end_orphans(settings: Settings) -> int | None:
    """End the broker that nobody owns; its process, or None: there was none. Raises NotReady while its owner lives."""
    try:
        return end_orphan(settings.broker, OWNER_S)
    except BrokerFailed as error:
        raise NotReady(str(error)) from error
