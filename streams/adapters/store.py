"""The content-addressed store on a directory: one file per blob, named by its SHA-256, never overwritten."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

from streams.release import BlobCorrupt, BlobMissing, digest_of

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
MOST_BYTES: Final = 2**30
"""Largest blob taken; datasets and models of this project are far smaller."""


class BlobTooLarge(Exception):
    """The bytes are larger than this store takes."""


def write_durably(path: Path, data: bytes) -> None:
    """Write a whole file so that a crash leaves the old one or the new one: temporary name, fsync, rename, fsync of the directory."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names created in a directory survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DirectoryStore:
    """Blobs under `path`/sha256/ab/cdef…; directories are 0700, files 0600. Safe with many processes: equal names mean equal bytes."""

    def __init__(self, path: str | Path, most_bytes: int = MOST_BYTES) -> None:
        self.path = Path(path)
        self._most_bytes = most_bytes
        self._root = self.path / "sha256"

    def put(self, data: bytes) -> str:
        """Store (atomically, fsynced) and return the hex SHA-256. Raises BlobTooLarge."""
        if len(data) > self._most_bytes:
            raise BlobTooLarge(f"blob of {len(data)} bytes; this store takes at most {self._most_bytes}. Store it in parts.")
        digest = digest_of(data)
        path = self._file(digest)
        # Compared, not assumed: whoever has the right bytes in hand heals a damaged file.
        if path.exists() and path.read_bytes() == data:
            return digest
        self._make(path.parent)
        write_durably(path, bytes(data))
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes, verified before they are returned. Raises BlobMissing or BlobCorrupt."""
        path = self._file(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise BlobMissing(f"no blob {digest} in {self._root}: was it put into another store, or removed?") from None
        found = digest_of(data)
        if found != digest:
            raise BlobCorrupt(
                f"{path} has the digest {found}, not {digest}: restore it from a copy, or remove it and train again."
            )
        return data

    def has(self, digest: str) -> bool:
        """Whether it is there (not whether it is intact: `get` says that)."""
        return self._file(digest).exists()

    def _file(self, digest: str) -> Path:
        # Only 64 lower-case hex digits become a path, so no name can lead out of the directory.
        if not _DIGEST.fullmatch(digest):
            raise BlobMissing(f"{digest!r} is not a digest: wanted 64 lower-case hexadecimal digits.")
        return self._root / digest[:2] / digest[2:]

    def _make(self, directory: Path) -> None:
        for level in (self.path, self._root, directory):
            if not level.is_dir():
                level.mkdir(mode=0o700, parents=True, exist_ok=True)
                level.chmod(0o700)
                sync_directory(level.parent)
