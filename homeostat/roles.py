"""The roles that the supervisor starts, in the order in which it starts them; it stops them in the reverse order."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any, Final

from config.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One process. `name` is its command, its log file and what people call it."""

    name: str
    port_setting: str
    does: str

    def address(self, settings: Settings) -> tuple[str, int]:
        """Where its HTTP server listens."""
        host = settings.serving_host if self.port_setting == "serving_port" else "127.0.0.1"
        port: int = getattr(settings, self.port_setting)
        return ("127.0.0.1" if host in {"0.0.0.0", "::"} else host), port

    def healthy(self, settings: Settings, timeout_s: float = 1.0) -> bool:
        """Whether it answers /healthz with 200 now."""
        return self._asked("/healthz", settings, timeout_s) is not None

    def position(self, settings: Settings, timeout_s: float = 1.0) -> dict[str, Any]:
        """What it says of its place in the log; nothing when it does not answer now."""
        said = self._asked("/position", settings, timeout_s)
        found: dict[str, Any] = {} if said is None else json.loads(said)
        return found

    def _asked(self, path: str, settings: Settings, timeout_s: float) -> bytes | None:
        host, port = self.address(settings)
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.read() if response.status == http.client.OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


TRAINER: Final = Role(name="trainer", port_setting="trainer_port", does="trains candidates on Ray")
CONTROL: Final = Role(name="control", port_setting="control_port", does="decides")
STANDBY: Final = Role(name="standby", port_setting="standby_port", does="decides too, and takes over")
AGENTS: Final = Role(name="agents", port_setting="agents_port", does="watches the windows")
MONITOR: Final = Role(name="monitor", port_setting="monitor_port", does="counts predictions and labels")
SERVE: Final = Role(name="serve", port_setting="serving_port", does="answers over HTTP")

ROLES: Final = (TRAINER, CONTROL, STANDBY, AGENTS, MONITOR, SERVE)
"""The trainer first: Ray takes longest to warm up. Serving last, so that it stops first and nothing is answered uncounted."""


def roles_of(settings: Settings) -> tuple[Role, ...]:
    """The roles that run under these settings."""
    return tuple(role for role in ROLES if role is not STANDBY or settings.standby)


def named(name: str) -> Role:
    """The role of that name."""
    return next(role for role in ROLES if role.name == name)
