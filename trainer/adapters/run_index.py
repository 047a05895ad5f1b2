"""Results by run id and stage on disk: whoever comes second, after a crash or beside another trainer, gives the first one's result."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from streams.adapters.store import sync_directory
from streams.events import RecallFinished, TrainingFinished
from trainer.workshop import Result

_RUN: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


_SUFFIX: Final[Mapping[type, str]] = {TrainingFinished: ".json", RecallFinished: ".recall.json"}
"""Of the file of a stage. No run id has a dot, so that no two names meet."""


class RunIndex:
    """One small JSON file per finished stage of a run, under `path`; written once, never again."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def find(self, run: str, stage: type[Result]) -> Result | None:
        """What that stage ended with, if it has ended."""
        try:
            return msgspec.json.decode(self._file(run, stage).read_bytes(), type=stage)
        except FileNotFoundError:
            return None

    def keep(self, result: Result) -> Result:
        """Store the result unless the stage has one already; returns the one that counts."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        final = self._file(result.run, type(result))
        temporary = self._path / f".{result.run}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(result))
                file.flush()
                os.fsync(file.fileno())
            # A link fails where the name exists (a rename would replace it), so one result wins however many race.
            os.link(temporary, final)
        except FileExistsError:
            found = self.find(result.run, type(result))
            return result if found is None else found
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(self._path)
        return result

    def _file(self, run: str, stage: type) -> Path:
        if not _RUN.fullmatch(run):
            raise ValueError(f"run id {run[:80]!r} is not made of letters, digits, '-' and '_' (at most 128).")
        return self._path / f"{run}{_SUFFIX[stage]}"
