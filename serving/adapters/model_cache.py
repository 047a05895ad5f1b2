"""Releases by digest, read from the store once and kept on the local disk: a restart needs nothing else.

Layout of the cache directory: `sha256/…` as in the store, and `routes.json`, the last routes that were in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from serving.adapters.live import LoadedRelease
from serving.request import RowSchema
from serving.served_policy import ServedPolicy
from streams.adapters.artefact import UnusableArtefact
from streams.adapters.predictors import load_served
from streams.adapters.store import DirectoryStore, write_durably
from streams.crash_points import NOWHERE, CrashPoints
from streams.events import Route
from streams.policy import QuarantinePolicy
from streams.release import BlobCorrupt, BlobMissing, BlobStore, Release

ROUTES_FILE: Final = "routes.json"


class ReleaseUnusable(Exception):
    """The release cannot answer: a blob is missing or corrupt, or is not what its manifest says."""


class LastKnown(msgspec.Struct, frozen=True, kw_only=True):
    """What serving starts from when nobody else is there."""

    routes: tuple[Route, ...] = ()
    privacy: dict[str, dict[str, str]] = {}
    """Per model and feature: keep | hash | bin | drop."""
    quarantine: dict[str, QuarantinePolicy] = {}
    """Per model; of one that is missing here (a file that was written before there was any) the defaults hold."""
    schema: int = 1

    def policies(self) -> dict[str, ServedPolicy]:
        """Per model what is known of its policy."""
        return {
            model: ServedPolicy(log=log, quarantine=self.quarantine.get(model, QuarantinePolicy()))
            for model, log in self.privacy.items()
        }


def last_known(routes: Iterable[Route], policies: Mapping[str, ServedPolicy]) -> LastKnown:
    """What is worth keeping of these."""
    kept = tuple(routes)
    known = {route.model: policies[route.model] for route in kept if route.model in policies}
    return LastKnown(
        routes=kept,
        privacy={model: dict(policy.log) for model, policy in known.items()},
        quarantine={model: policy.quarantine for model, policy in known.items()},
    )


class CachedStore:
    """A store that answers from the local disk and goes to its origin only for what is not there, or damaged."""

    def __init__(self, directory: Path, origin: BlobStore, crash: CrashPoints = NOWHERE) -> None:
        self._local = DirectoryStore(directory)
        self._origin = origin
        self._crash = crash
        self._blobs = directory / "sha256"

    def put(self, data: bytes) -> str:
        """Keep bytes on the local disk."""
        return self._local.put(data)

    def get(self, digest: str) -> bytes:
        """The bytes, verified. Raises BlobMissing or BlobCorrupt, as the origin does."""
        try:
            return self._local.get(digest)
        except BlobMissing:
            pass  # not cached yet
        except BlobCorrupt:
            self._file(digest).unlink(missing_ok=True)  # or the good bytes would not be written over it
        data = self._origin.get(digest)
        self._local.put(data)
        self._crash.reached("serving:blob_cached")
        return data

    def has(self, digest: str) -> bool:
        """Whether it can be had."""
        return self._local.has(digest) or self._origin.has(digest)

    def keep_only(self, digests: Iterable[str]) -> None:
        """Remove every other blob from the local disk, so that it holds what is in force and no more."""
        kept = {self._file(digest) for digest in digests}
        for path in self._blobs.glob("*/*"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _file(self, digest: str) -> Path:
        return self._blobs / digest[:2] / digest[2:]


class ModelCache:
    """Loads releases, remembers those in force, and keeps them and their routes for the next start."""

    def __init__(self, directory: Path, origin: BlobStore, crash: CrashPoints = NOWHERE) -> None:
        self._directory = directory
        self._crash = crash
        self._store = CachedStore(directory, origin, crash)
        self._loaded: dict[str, tuple[Release, LoadedRelease]] = {}

    def load(self, model: str, digest: str) -> LoadedRelease:
        """The release, ready to answer. Raises ReleaseUnusable."""
        if digest not in self._loaded:
            try:
                release, contract, predictor = load_served(self._store, digest)
            except (BlobMissing, BlobCorrupt, UnusableArtefact, msgspec.MsgspecError, OSError) as error:
                raise ReleaseUnusable(f"release {digest} of {model}: {error}") from error
            loaded = LoadedRelease(
                digest=digest,
                contract_digest=release.contract,
                contract=contract,
                schema=RowSchema(contract),
                predictor=predictor,
            )
            self._loaded[digest] = (release, loaded)
        release, loaded = self._loaded[digest]
        if release.model != model:
            raise ReleaseUnusable(f"release {digest} is of model {release.model!r}, not of {model!r}: the route is wrong.")
        return loaded

    def last_known(self) -> LastKnown:
        """The routes in force when serving last ran; nothing on a first start. Raises ValueError when the file is damaged."""
        path = self._directory / ROUTES_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=LastKnown)
        except FileNotFoundError:
            return LastKnown()
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path} cannot be read: {error}. Remove it; the routes come again from the log.") from error

    def remember(self, known: LastKnown) -> None:
        """Keep the routes for the next start (atomically), and drop releases that none of them names."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._directory / ROUTES_FILE, msgspec.json.encode(known))
        self._crash.reached("serving:remembered")
        named = {digest for route in known.routes for digest in (route.champion, route.candidate, route.control)}
        self._loaded = {digest: pair for digest, pair in self._loaded.items() if digest in named}
        blobs = [(digest, release.artefact, release.contract) for digest, (release, _) in self._loaded.items()]
        self._store.keep_only({digest for digests in blobs for digest in digests})
