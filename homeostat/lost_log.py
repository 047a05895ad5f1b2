"""Whether the log of a data directory is lost, or being made anew: then nothing may start there, or two histories would mix."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from config.settings import Settings
from homeostat.mirror import newest
from streams import topics

MARKER: Final = "restore.json"
"""In the mirror from the first change of a restore to its end."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What the marker holds: a restore that is not finished goes on as it began."""

    lake: str
    """Name under which the old log's lake is set aside."""


def lost_log(settings: Settings) -> str:
    """Why nothing may start here before a restore; empty: it may."""
    if begun_in(settings.mirror) is not None:
        return f"a restore was begun in {settings.data} and not finished; run `homeostat restore` again."
    known = newest(settings.mirror) if settings.embedded and not holds_log(settings.broker) else ()
    if not known:
        return ""
    return (
        f"the log in {settings.broker} is gone, while the mirror knows {', '.join(one.model for one in known)}: "
        f"bring them back with `homeostat restore --data {settings.data} --reason ...`, or move {settings.mirror} and "
        f"{settings.lake} away to begin without them."
    )


def begun_in(mirror: Path) -> Begun | None:
    """The restore that was begun and not finished."""
    path = mirror / MARKER
    return msgspec.json.decode(path.read_bytes(), type=Begun) if path.exists() else None


def holds_log(broker: Path) -> bool:
    """Whether an embedded broker's directory has a record of any of our topics; asked of the files, as no broker runs."""
    return any(path.stat().st_size > 0 for topic in topics.TOPICS for path in (broker / "data").glob(f"{topic.name}-*/*.log"))
