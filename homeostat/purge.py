"""Deletes what a data directory holds: only of a directory that is Homeostat's, and only while nobody else runs there."""

from __future__ import annotations

import re
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
    | {"challengers", "serving-cache", "store"}
)
"""What Homeostat makes in its directory; and `lake-N`, set aside by a restore."""
_SET_ASIDE: Final = re.compile(r"lake-\d+")
_ONLY_OURS: Final = ("secret.key", "broker/data/meta.properties")
"""The other names are common ones: without one of these a directory is not taken for ours, whatever its settings file says."""


def contents(root: Path) -> list[Path]:
    """What would be deleted. Raises NotOurs."""
    if not (root / FILE_NAME).is_file():
        raise NotOurs(f"{root} has no {FILE_NAME}, so that it is no data directory of Homeostat; nothing was deleted.")
    found = sorted(root.iterdir())
    emptied = {path.name for path in found} <= {FILE_NAME, PID_FILE}  # as a purge leaves it that is killed at its end
    if not emptied and not any((root / name).is_file() for name in _ONLY_OURS):
        raise NotOurs(
            f"{root} has neither {' nor '.join(_ONLY_OURS)}, so that nothing says that Homeostat ran there; nothing was deleted. "
            "Delete it by hand if it is yours."
        )
    foreign = [path.name for path in found if path.name not in OURS and not _SET_ASIDE.fullmatch(path.name)]
    if foreign:
        raise NotOurs(f"{root} holds what is not Homeostat's: {', '.join(foreign)}; move it away first. Nothing was deleted.")
    return [path for path in found if path.name != PID_FILE]


def purge(root: Path) -> None:
    """Delete it all but the empty pid file, which is held meanwhile. Raises NotOurs, AlreadyRunning."""
    held = PidFile(root)
    held.acquire()
    try:
        # What a directory is known by goes last, so that what a crash leaves is still known as ours.
        last = ("broker", "secret.key", FILE_NAME)
        for path in sorted(contents(root), key=lambda path: last.index(path.name) if path.name in last else -1):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    finally:
        held.release()
