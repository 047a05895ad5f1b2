"""The standby role: a second controller, the same in everything but its port. The two share `control` and either can lead all of it."""

from __future__ import annotations

import threading

import msgspec

from config.settings import Settings
from homeostat import controller


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead a share until `stop`. Raises what the controller does."""
    controller.run(msgspec.structs.replace(settings, control_port=settings.standby_port), stop)
