"""`homeostat restore`: a log that is lost is made anew from the mirror, one incarnation higher.

In this order, so that it may be killed anywhere and run again: a marker says that a restore began here; the broker starts on
its empty directory; the lake is set aside, as its files are named by offsets of the old log; what else speaks of old offsets
is forgotten; per model one `Restored` goes to `control` (its id derives from model and incarnation), and its policy after it,
for those who read policies there; the marker goes. The controllers do the rest when they start.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from config.settings import Settings
from homeostat.control_fold import LIMIT_BYTES
from homeostat.lost_log import MARKER, Begun, begun_in, holds_log
from homeostat.mirror import MARK, Mirrored, folders, newest
from homeostat.model_state import ModelState
from homeostat.pid_file import PidFile
from homeostat.read_topic import read_topic
from homeostat.write_control import write_control
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.loopback import is_free
from streams.adapters.store import DirectoryStore, sync_directory, write_durably
from streams.adapters.topic_admin import create_topics
from streams.codec import encode_json
from streams.events import PolicySet, Restored, Steering, derived_id
from streams.release import BlobMissing

BROKER_S: Final = 120.0
READ_S: Final = 30.0
OF_OLD_OFFSETS: Final = ("faust", "repeats")
"""Directories whose content names offsets of the log, or is named by snapshots in it."""


class CannotRestore(Exception):
    """Nothing was changed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was brought back: incarnation by model, where the old lake lies, and what a person has to know."""

    models: dict[str, int]
    lake: Path
    warnings: tuple[str, ...]


def restore(settings: Settings, *, actor: str, reason: str, say: Callable[[str], None]) -> Result:
    """Make the log anew. Raises CannotRestore, AlreadyRunning, LogUnavailable, and what the broker raises."""
    held = PidFile(settings.root)
    held.acquire()
    try:
        mirrored, warnings = _mirrored(settings)
        begun = begun_in(settings.mirror)
        if begun is None and settings.embedded and holds_log(settings.broker):
            raise CannotRestore(
                f"{settings.broker} still holds a log, and what is there is not made anew: start it with `homeostat up`. "
                f"If that log is to be given up, move {settings.broker} away and run this again."
            )
        with _log(settings, say) as connected:
            if begun is None:
                if filled := _filled(connected):
                    raise CannotRestore(
                        f"the log at {connected.bootstrap_servers} is not empty ({', '.join(filled)} hold records): a log is made anew in "
                        "empty topics only. Use an empty cluster, or delete Homeostat's topics there."
                    )
                begun = Begun(lake=_free_name(settings, mirrored))
                write_durably(settings.mirror / MARKER, msgspec.json.encode(begun))
            lake = _set_aside(settings, begun)
            _forget_offsets(settings)
            models = _written(connected, mirrored, actor, reason)
        (settings.mirror / MARKER).unlink()
        sync_directory(settings.mirror)
        return Result(models=models, lake=lake, warnings=warnings)
    finally:
        held.release()


def _mirrored(settings: Settings) -> tuple[Sequence[Mirrored], tuple[str, ...]]:
    found = newest(settings.mirror)
    if not found:
        raise CannotRestore(
            f"there is no mirror of decisions in {settings.mirror}, and without it nothing is known of the models. Bring back that "
            "directory or the broker's from a copy, or register the models again."
        )
    warnings = []
    if unreadable := folders(settings.mirror) - len(found):
        warnings.append(f"{unreadable} of the mirror's models cannot be read and are not brought back; see {settings.mirror}")
    store = DirectoryStore(settings.store)
    for one in found:
        champion = msgspec.msgpack.decode(one.state, type=ModelState).rollout.champion
        if not _has(store, champion):
            warnings.append(
                f"the release {champion[:12]} that serves {one.model} is not in {settings.store}: bring it back from a copy"
            )
    return found, tuple(warnings)


def _has(store: DirectoryStore, digest: str) -> bool:
    try:
        return store.has(digest)
    except BlobMissing:  # no digest at all: a record that no command of ours wrote
        return False


@contextmanager
def _log(settings: Settings, say: Callable[[str], None]) -> Iterator[Settings]:
    """The new log with its topics; the embedded broker runs for so long."""
    if not settings.embedded:
        create_topics(settings.bootstrap_servers)
        yield settings
        return
    port = settings.broker_port if settings.broker_port and is_free(settings.broker_port) else 0
    broker = EmbeddedBroker(settings.broker, port)
    say(f"starting Apache Kafka on {broker.bootstrap_servers}")
    broker.start(BROKER_S)
    try:
        create_topics(broker.bootstrap_servers)
        yield msgspec.structs.replace(settings, bootstrap_servers=broker.bootstrap_servers)
    finally:
        broker.stop()


def _filled(settings: Settings) -> list[str]:
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        ends = reader.end_offsets([(topic.name, number) for topic in topics.TOPICS for number in range(topic.partitions)])
    finally:
        reader.close()
    return sorted({name for (name, _), end in ends.items() if end})


def _free_name(settings: Settings, mirrored: Sequence[Mirrored]) -> str:
    number = max(one.incarnation for one in mirrored)
    while settings.lake.with_name(f"{settings.lake.name}-{number}").exists():
        number += 1
    return f"{settings.lake.name}-{number}"


def _set_aside(settings: Settings, begun: Begun) -> Path:
    aside = settings.lake.with_name(begun.lake)
    if settings.lake.exists() and not aside.exists():
        settings.lake.rename(aside)
        sync_directory(settings.root)
    return aside


def _forget_offsets(settings: Settings) -> None:
    for name in OF_OLD_OFFSETS:
        shutil.rmtree(settings.root / name, ignore_errors=True)
    for mark in settings.mirror.glob(f"{MARK}*"):
        mark.unlink(missing_ok=True)


def _written(settings: Settings, mirrored: Sequence[Mirrored], actor: str, reason: str) -> dict[str, int]:
    """Write what is not there yet: a restore that goes on may have written some before."""
    there = _ids(settings)
    for one in mirrored:
        records = [record for record in _records(one, actor, reason) if record.id not in there]
        if records:
            write_control(settings, *records)
    return {one.model: one.incarnation + 1 for one in mirrored}


def _records(one: Mirrored, actor: str, reason: str) -> list[Steering]:
    state, incarnation, now = msgspec.msgpack.decode(one.state, type=ModelState), one.incarnation + 1, datetime.now(UTC)
    policy = PolicySet(
        id=derived_id(one.model, "restored policy", incarnation),
        at=now,
        model=one.model,
        actor=actor,
        reason=f"as before the log was lost: {reason}",
        policy=state.policy,
    )
    return [_restored(state, incarnation, actor, reason, now), policy]


def _restored(state: ModelState, incarnation: int, actor: str, reason: str, now: datetime) -> Restored:
    record = Restored(
        id=derived_id(state.model, "restored", incarnation),
        at=now,
        model=state.model,
        actor=actor,
        reason=reason,
        incarnation=incarnation,
        state=msgspec.msgpack.encode(state),
    )
    if len(encode_json(record)) <= LIMIT_BYTES or not state.seen:
        return record
    # Ids of commands may be long. The oldest go: their repeats would have to come from beyond the log that is gone.
    return _restored(msgspec.structs.replace(state, seen=state.seen[len(state.seen) // 4 + 1 :]), incarnation, actor, reason, now)


def _ids(settings: Settings) -> set[str]:
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        return {msgspec.json.decode(message.value, type=_Id).id for message in read_topic(reader, topics.CONTROL, READ_S)}
    finally:
        reader.close()


class _Id(msgspec.Struct):
    id: str
