"""The mirror of decisions: beside the log, per model, its newest state and what was decided, so that a lost log can be made anew.

    MIRROR/HASH/state-INCARNATION-OFFSET      MessagePack of Mirrored; of several the highest counts
    MIRROR/HASH/decisions-INCARNATION.jsonl   one decision a line; .1 beside it holds those before, up to LIMIT_BYTES each
    MIRROR/upto-PARTITION                     offset of `control` below which all of a partition is mirrored

HASH is of the model's name, which is never a path; the name itself stands inside. Written for a partition's leader after its
commit, so the log is always as new or newer. A leader that was fenced meanwhile cannot do harm: its state has a lower offset
and is passed over, its decisions are in the log and told apart by their ids.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from config.settings import Settings
from homeostat.model_state import ModelState
from streams.adapters.store import sync_directory, write_durably
from streams.codec import Undecodable, decode_json, encode_json
from streams.crash_points import MIRRORED_DECISIONS, MIRRORED_STATE, NOWHERE, CrashPoints
from streams.events import Decided

LIMIT_BYTES: Final = 4 * 2**20
"""Of a file of decisions: two are kept for each incarnation of a model."""
MARK: Final = "upto-"
_STATE: Final = re.compile(r"state-(\d{8})-(\d{20})")
_DECISIONS: Final = re.compile(r"decisions-(\d{8})\.jsonl")

log = logging.getLogger("homeostat.mirror")


class Mirrored(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the mirror knows it: its state, folded from its partition of `control` up to `offset` (exclusive)."""

    model: str
    incarnation: int
    partition: int
    offset: int
    state: bytes
    """MessagePack of ModelState."""


class Mirror:
    """Written for the leaders of one process."""

    def __init__(self, root: Path, limit_bytes: int = LIMIT_BYTES, crash: CrashPoints = NOWHERE) -> None:
        self._root = root
        self._crash = crash
        self._limit_bytes = limit_bytes

    def keep(self, state: ModelState, *, partition: int, offset: int, decisions: Sequence[Decided]) -> bool:
        """Add decisions, then keep the state; durable on return. False: it could not be written, which is logged."""
        try:
            folder = self._folder(state.model)
            if decisions:
                self._append(folder, state.rollout.incarnation, decisions)
                self._crash.reached(MIRRORED_DECISIONS)
            self._put(folder, state, partition, offset)
            self._crash.reached(MIRRORED_STATE)
        except OSError as error:
            # The decision stands in the log. A full disk must not stop the next one.
            log.error("the mirror of %s is behind: %s", state.model, error)
            return False
        return True

    def mark(self, partition: int, offset: int) -> None:
        """Note that all of a partition below this offset is kept. Need not be durable: an older mark costs some reading."""
        temporary = self._root / f".upto-{partition}.{os.getpid()}"
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(str(offset))
            temporary.replace(self._mark(partition))
        except OSError as error:
            log.error("the mirror of control-%d is behind: %s", partition, error)

    def marked(self, partition: int) -> int:
        """The offset of `control` below which all of the partition is kept; 0: nothing is sure."""
        try:
            return int(self._mark(partition).read_text())
        except (OSError, ValueError):
            return 0

    def knows(self, state: ModelState) -> bool:
        """Whether this very state is kept."""
        kept = newest_in(self._path(state.model))
        return kept is not None and kept.state == msgspec.msgpack.encode(state)

    def kept_ids(self, state: ModelState) -> frozenset[str]:
        """Of the decisions kept in the model's incarnation."""
        path = self._path(state.model) / _decisions_name(state.rollout.incarnation)
        return frozenset(decision.id for decision in _of_incarnation(path))

    def _append(self, folder: Path, incarnation: int, decisions: Sequence[Decided]) -> None:
        path = folder / _decisions_name(incarnation)
        if path.exists() and path.stat().st_size > self._limit_bytes:
            path.replace(_before(path))
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            lines = b"".join(encode_json(decision) + b"\n" for decision in decisions)
            left = b"\n" + lines if torn else lines
            while left:  # a disk that is nearly full takes a part without a word
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            sync_directory(folder)

    def _put(self, folder: Path, state: ModelState, partition: int, offset: int) -> None:
        incarnation = state.rollout.incarnation
        name = f"state-{incarnation:08d}-{offset:020d}"
        mirrored = Mirrored(
            model=state.model,
            incarnation=incarnation,
            partition=partition,
            offset=offset,
            state=msgspec.msgpack.encode(state),
        )
        write_durably(folder / name, msgspec.msgpack.encode(mirrored))
        for path in _states(folder):
            if path.name < name:
                path.unlink(missing_ok=True)

    def _mark(self, partition: int) -> Path:
        return self._root / f"{MARK}{partition}"

    def _path(self, model: str) -> Path:
        return folder_of(self._root, model)

    def _folder(self, model: str) -> Path:
        folder = self._path(model)
        for level in (self._root, folder):
            if not level.is_dir():
                level.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_directory(level.parent)
        return folder


def folder_of(root: Path, model: str) -> Path:
    """Where a model's mirror lies: any name is a good one."""
    return root / hashlib.sha256(model.encode()).hexdigest()


def folders(root: Path) -> int:
    """How many models have a mirror, whether or not it can be read."""
    return sum(1 for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else 0


def newest(root: Path) -> tuple[Mirrored, ...]:
    """Every model that the mirror knows, by name."""
    folders = sorted(root.iterdir()) if root.is_dir() else []
    found = [newest_in(folder) for folder in folders if folder.is_dir()]
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.model))


def newest_in(folder: Path) -> Mirrored | None:
    """The newest state in a model's folder that can be read."""
    for path in reversed(_states(folder)):
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=Mirrored)
        except FileNotFoundError:
            continue  # a newer one has just taken its place
        except msgspec.DecodeError as error:
            log.error("%s cannot be read (%s); an older one is taken", path, error)
    return None


def decisions(settings: Settings, model: str) -> list[Decided]:
    """All that the mirror has decided about a model, its earlier incarnations first, oldest first.

    An id tells decisions apart within one incarnation only: it derives from the record's place in its log.
    """
    folder = folder_of(settings.mirror, model)
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [one for name in names if _DECISIONS.fullmatch(name) for one in _of_incarnation(folder / name)]


def earlier_decisions(settings: Settings, model: str, incarnation: int) -> list[Decided]:
    """Those of incarnations before this one: what the present log no longer holds."""
    folder = folder_of(settings.mirror, model)
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    known = [(match, name) for name in names if (match := _DECISIONS.fullmatch(name))]
    return [one for match, name in known if int(match[1]) < incarnation for one in _of_incarnation(folder / name)]


def _of_incarnation(path: Path) -> list[Decided]:
    found: dict[str, Decided] = {}
    for part in (_before(path), path):
        if part.exists():
            found.update((decision.id, decision) for decision in _decided(part.read_bytes()))
    return sorted(found.values(), key=lambda decision: decision.offset)


def _decided(lines: bytes) -> Iterator[Decided]:
    """The whole lines; one that a crash left torn is mended from the log at the next leadership."""
    for line in lines.splitlines():
        try:
            yield decode_json(line, Decided)
        except Undecodable:
            continue


def _states(folder: Path) -> list[Path]:
    """Oldest first; names sort as offsets do."""
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [folder / name for name in names if _STATE.fullmatch(name)]


def _decisions_name(incarnation: int) -> str:
    return f"decisions-{incarnation:08d}.jsonl"


def _before(path: Path) -> Path:
    return path.with_suffix(".1.jsonl")
