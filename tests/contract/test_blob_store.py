"""What every store of blobs keeps, and what the one on a directory keeps besides."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streams.adapters.store import BlobTooLarge, DirectoryStore
from streams.release import BlobCorrupt, BlobMissing, BlobStore, digest_of
from tests.core.training_shop import MemoryStore


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """Each implementation in turn."""
    return DirectoryStore(tmp_path / "deep" / "store") if request.param == "directory" else MemoryStore()


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    """The one on disk."""
    return DirectoryStore(tmp_path / "store", most_bytes=1_000)


def file_of(store: DirectoryStore, digest: str) -> Path:
    """Where a blob lies."""
    return store.path / "sha256" / digest[:2] / digest[2:]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 3])
def test_what_was_put_comes_back_under_its_digest(store: BlobStore, data: bytes) -> None:
    """The name is the SHA-256 of the bytes."""
    digest = store.put(data)
    assert digest == digest_of(data)
    assert store.has(digest)
    assert store.get(digest) == data


def test_to_put_twice_is_to_put_once(store: BlobStore) -> None:
    """Same bytes, same name."""
    assert store.put(b"a") == store.put(b"a")


def test_what_was_never_put_is_missing(store: BlobStore) -> None:
    """And says so."""
    assert not store.has(digest_of(b"nothing"))
    with pytest.raises(BlobMissing):
        store.get(digest_of(b"nothing"))


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n", "..", "/" * 64])
def test_only_digests_are_names(directory: DirectoryStore, name: str) -> None:
    """Nothing else becomes a path."""
    for ask in (directory.get, directory.has):
        with pytest.raises(BlobMissing, match="not a digest"):
            ask(name)


def test_damaged_bytes_are_never_returned_and_a_put_heals_them(directory: DirectoryStore) -> None:
    """A flipped bit and a cut file are found out; the right bytes replace them."""
    digest = directory.put(b"abc")
    for damaged in (b"abd", b"ab"):
        file_of(directory, digest).write_bytes(damaged)
        with pytest.raises(BlobCorrupt, match=f"not {digest}"):
            directory.get(digest)
    directory.put(b"abc")
    assert directory.get(digest) == b"abc"


def test_only_the_owner_may_look(directory: DirectoryStore) -> None:
    """Directories 0700, files 0600, whatever the umask."""
    path = file_of(directory, directory.put(b"abc"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(level.stat().st_mode) for level in (path.parent, path.parent.parent, directory.path)] == [0o700] * 3


def test_a_blob_that_is_too_large_is_refused(directory: DirectoryStore) -> None:
    """The bound is told, and nothing is written."""
    with pytest.raises(BlobTooLarge, match="1001 bytes; this store takes at most 1000"):
        directory.put(b"x" * 1_001)
    assert not directory.path.exists()


def test_many_may_put_the_same_at_once(directory: DirectoryStore) -> None:
    """Whoever is last replaces equal bytes, and nobody leaves a temporary file."""
    with ThreadPoolExecutor(8) as threads:
        digests = set(threads.map(lambda _: directory.put(b"same"), range(64)))
    (digest,) = digests
    assert directory.get(digest) == b"same"
    assert [path.name for path in file_of(directory, digest).parent.iterdir()] == [digest[2:]]


def test_a_write_that_fails_leaves_nothing_behind(directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the old state stands, and no temporary file fills it further."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        directory.put(b"abc")
    monkeypatch.undo()
    assert not directory.has(digest_of(b"abc"))
    assert [path for path in directory.path.rglob("*") if path.is_file()] == []
