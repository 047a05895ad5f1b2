"""The routes that serving last had, as it keeps them for its next start: a witness of the log beside the mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = "serving-cache"


class LastServed(msgspec.Struct, frozen=True, kw_only=True):
    """Of a model's route what tells it from others; the rest is serving's."""

    model: str
    incarnation: int = 1
    generation: int
    champion: str


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    routes: tuple[LastServed, ...] = ()


def last_served(root: Path) -> dict[str, LastServed]:
    """By model; nothing where there is no such file, or it cannot be read. `root` is the data directory."""
    try:
        kept = msgspec.json.decode((root / FOLDER / "routes.json").read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return {}
    return {route.model: route for route in kept.routes}
