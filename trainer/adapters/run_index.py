"""Results by run id on disk: whoever comes second, after a crash or beside another trainer, gives the first one's result."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

import msgspec

from streams.adapters.store import sync_directory
from streams.events import TrainingFinished

_RUN: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


class RunIndex:
    """One small JSON file per finished run, under `path`; written once, never again."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def find(self, run: str) -> TrainingFinished | None:
        """What that run ended with, if it has ended."""
        try:
            return msgspec.json.decode(self._file(run).read_bytes(), type=TrainingFinished)
        except FileNotFoundError:
            return None

    def keep(self, result: TrainingFinished) -> TrainingFinished:
        """Store the result unless the run has one already; returns the one that counts."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        final = self._file(result.run)
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
            found = self.find(result.run)
            return result if found is None else found
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(self._path)
        return result

    def _file(self, run: str) -> Path:
        if not _RUN.fullmatch(run):
            raise ValueError(f"run id {run[:80]!r} is not made of letters, digits, '-' and '_' (at most 128).")
        return self._path / f"{run}.json"
