"""How long nobody decides: the controller that leads a model is killed, and the other one has to take over."""

from __future__ import annotations

import http.client
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.verdict import until
from streams import topics
from streams.events import DriftDetected, ModelRegistered, derived_id
from streams.partitioner import partition_of
from streams.policy import Policy

_ROLES: Final = ("control", "standby")
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)


def takeover_s(bootstrap_servers: str, directory: Path) -> float:
    """Seconds from the SIGKILL of the leader to the other's first decision, both idle before. Raises Unclean."""
    site = Site(bootstrap_servers, directory)
    try:
        for role in _ROLES:
            site.start(role)
        model = site.new_name("takeover")
        partitions = topics.named(topics.CONTROL).partitions
        home = str(partition_of(model.encode(), partitions))
        until(lambda: all(0 < len(_shared(site, role)) < partitions for role in _ROLES), lambda: "the two share nothing")
        site.tell(
            [
                ModelRegistered(
                    id=f"registered-{model}", at=_LONG_AGO, model=model, actor="bench", reason="first", release="first",
                    contract="c", policy=Policy(),
                )
            ]
        )  # fmt: skip
        until(lambda: bool(site.log.look().decisions(model)), lambda: "the registration is not decided on")
        leader = next(role for role in _ROLES if home in _shared(site, role))
        struck = time.monotonic()
        site.stop(leader)
        site.tell(
            [
                DriftDetected(
                    id=derived_id(model, "probe"), at=_LONG_AGO, model=model, actor="bench", reason="probe", release="first",
                    feature="x", statistic=1.0, threshold=0.5, since=_LONG_AGO, size=1.0,
                )
            ]
        )  # fmt: skip
        until(lambda: len(site.log.look().decisions(model)) > 1, lambda: "nobody took over")
        return time.monotonic() - struck
    finally:
        site.close()


def _shared(site: Site, role: str) -> set[str]:
    """Partitions that a controller says are its own; none while it does not answer."""
    port = site.settings.control_port if role == "control" else site.settings.standby_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/position")
        return set(json.loads(connection.getresponse().read()).get("control", {}))
    except OSError:
        return set()
    finally:
        connection.close()
