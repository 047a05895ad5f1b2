"""Deletes what a data directory holds: only of a directory that is Homeostat's, and only while nobody else runs there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from config.settings import FILE_NAME
from homeostat.pid_file import NAME as PID_FILE
from homeostat.pid_file import PidFile


class NotOurs(Exception):
    """The directory is not one of Homeostat's, or not only; the message says what was found. Nothing was deleted."""


OURS: Final = frozenset(
    {FILE_NAME, PID_FILE, "broker", "crashed", "faust", "lake", "logs", "mirror", "policies", "ray", "repeats", "secret.key"}
    | {"serving-cache", "store"}
)
"""What Homeostat makes in its directory; and `lake-N`, set aside by a restore."""


def contents(root: Path) -> list[Path]:
    """What would be deleted. Raises NotOurs."""
    if not (root / FILE_NAME).is_file():
        raise NotOurs(f"{root} has no {FILE_NAME}, so that it is no data directory of Homeostat; nothing was deleted.")
    found = sorted(root.iterdir())
    foreign = [path.name for path in found if path.name not in OURS and not path.name.startswith("lake-")]
    if foreign:
        raise NotOurs(f"{root} holds what is not Homeostat's: {', '.join(foreign)}; move it away first. Nothing was deleted.")
    return [path for path in found if path.name != PID_FILE]


def purge(root: Path) -> None:
    """Delete it all but the empty pid file, which is held meanwhile. Raises NotOurs, AlreadyRunning."""
    held = PidFile(root)
    held.acquire()
    try:
        settings = root / FILE_NAME
        for path in contents(root):
            if path == settings:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        settings.unlink()  # the last, so that what a crash leaves is still known as ours
    finally:
        held.release()
