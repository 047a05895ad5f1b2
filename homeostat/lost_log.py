"""Whether the log of a data directory is lost, or being made anew: then nothing may start there, or two histories would mix."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from config.settings import Settings
from homeostat.challenger_state import CHALLENGERS
from homeostat.last_served import FOLDER, last_served
from homeostat.mirror import folders, newest
from streams import topics

REPEATS: Final = "repeats"
OF_OLD_OFFSETS: Final = ("faust", REPEATS)
"""Directories whose content names offsets of the log, or is named by snapshots in it."""
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
    found = _traces(settings) if settings.embedded and not holds_log(settings.broker) else []
    if not found:
        return ""
    if known := newest(settings.mirror):
        return (
            f"the log in {settings.broker} is gone, while the mirror knows {', '.join(one.model for one in known)}: "
            f"bring them back with `homeostat restore --data {settings.data} --reason ...`, or begin without them: "
            f"{move_away(settings)}."
        )
    return (
        f"there is no log in {settings.broker}, but {', '.join(found)} of one that is gone: bring {settings.broker} or "
        f"{settings.mirror} back from a copy, or begin anew: {move_away(settings)}."
    )


def move_away(settings: Settings) -> str:
    """What a person does who gives the old log up: whatever speaks of it, so that the next is not taken for it.

    Serving's last routes too: those of a first log are older than they are, and it would stay on an old release for ever.
    """
    names = (CHALLENGERS, *OF_OLD_OFFSETS, FOLDER)
    there = [path for path in (settings.mirror, settings.lake, *(settings.root / name for name in names)) if path.exists()]
    return f"move {', '.join(str(path) for path in there)} away"


def _traces(settings: Settings) -> list[str]:
    """What only a log can have left here."""
    found = {
        "the mirror has models": folders(settings.mirror) > 0,
        "the lake has files": _has_files(settings.lake),
        "the repeats have pages": _has_files(settings.root / REPEATS),
        "serving has last known routes": bool(last_served(settings.root)),
    }
    return [said for said, is_so in found.items() if is_so]


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def begun_in(mirror: Path) -> Begun | None:
    """The restore that was begun and not finished."""
    path = mirror / MARKER
    return msgspec.json.decode(path.read_bytes(), type=Begun) if path.exists() else None


def holds_log(broker: Path) -> bool:
    """Whether an embedded broker's directory has a record of any of our topics; asked of the files, as no broker runs."""
    return any(path.stat().st_size > 0 for topic in topics.TOPICS for path in (broker / "data").glob(f"{topic.name}-*/*.log"))
