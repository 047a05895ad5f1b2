"""A release: what serves together and is rolled back together (model, contract, profile, thresholds), named by digest.

Everything lives in one content-addressed store: name = SHA-256 of the bytes. A release's digest is that of its manifest.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from streams.contract import Contract
from streams.profile import Profile


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest. All digests are hex SHA-256 of blobs in the same store."""

    model: str
    artefact: str
    """Data-only model file."""
    format: str
    """'xgboost-ubj' or 'onnx'."""
    contract: str
    profile: str
    card: str
    """Run card of the training that made it."""
    run: str
    parent: str = ""
    """Release that served when it was trained."""
    schema: int = 1


class BlobStore(Protocol):
    """Bytes by digest. `get` verifies the digest before it returns; raises BlobMissing or BlobCorrupt."""

    def put(self, data: bytes) -> str:
        """Store (atomically, fsynced) and return the hex SHA-256."""

    def get(self, digest: str) -> bytes:
        """The bytes, verified."""

    def has(self, digest: str) -> bool:
        """Whether it is there."""


class BlobMissing(Exception):
    """No blob of that digest."""


class BlobCorrupt(Exception):
    """The bytes do not have the digest they are stored under."""


def digest_of(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def encode(struct: msgspec.Struct) -> bytes:
    """Canonical JSON (all keys sorted as text), so that equal content has an equal digest."""
    # Through plain dicts with text keys: msgspec sorts no map with integer keys, such as a profile's bins.
    return msgspec.json.encode(msgspec.to_builtins(struct, str_keys=True), order="deterministic")


def load_release(store: BlobStore, digest: str) -> Release:
    """The manifest of that digest."""
    return msgspec.json.decode(store.get(digest), type=Release)


def load_contract(store: BlobStore, digest: str) -> Contract:
    """The contract of that digest."""
    return msgspec.json.decode(store.get(digest), type=Contract)


def load_profile(store: BlobStore, digest: str) -> Profile:
    """The profile of that digest."""
    return msgspec.json.decode(store.get(digest), type=Profile)
