"""`homeostat restore`: a log that is lost is made anew from the mirror, one incarnation higher.

In this order, so that it may be killed anywhere and run again: a marker says that a restore began here; the broker starts on
its empty directory; the lake is set aside, as its files are named by offsets of the old log, and in it the challengers' files,
which speak of those; what else speaks of old offsets is forgotten; per model one `Restored` goes to `control` (its id derives from model and incarnation), and its policy after it,
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
from homeostat.brought_back import Back, NotBroughtBack, back, lost_since, unknown
from homeostat.challenger_state import CHALLENGERS
from homeostat.last_served import last_served
from homeostat.lost_log import MARKER, OF_OLD_OFFSETS, Begun, begun_in, holds_log, move_away
from homeostat.mirror import MARK, folders, newest
from homeostat.pid_file import PidFile
from homeostat.read_topic import read_topic
from homeostat.write_control import write_control
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.loopback import is_free
from streams.adapters.store import DirectoryStore, sync_directory, write_durably
from streams.adapters.topic_admin import create_topics
from streams.release import BlobMissing

BROKER_S: Final = 120.0
READ_S: Final = 30.0


class CannotRestore(Exception):
    """Nothing was changed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was brought back, where the old lake lies, and what a person has to know."""

    models: tuple[Back, ...]
    lake: Path
    warnings: tuple[str, ...]


def restore(settings: Settings, *, actor: str, reason: str, say: Callable[[str], None]) -> Result:
    """Make the log anew. Raises CannotRestore, AlreadyRunning, LogUnavailable, and what the broker raises."""
    held = PidFile(settings.root)
    held.acquire()
    try:
        coming, warnings = _coming(settings, actor, reason)
        begun = begun_in(settings.mirror)
        if begun is None and settings.embedded and holds_log(settings.broker):
            raise CannotRestore(
                f"{settings.broker} still holds a log, and what is there is not made anew: start it with `homeostat up`. "
                f"If that log is to be given up, move {settings.broker} away and run this again; to begin without the models, also "
                f"{move_away(settings)}."
            )
        with _log(settings, say) as connected:
            if begun is None:
                if filled := _filled(connected):
                    raise CannotRestore(
                        f"the log at {connected.bootstrap_servers} is not empty ({', '.join(filled)} hold records): a log is made anew in "
                        "empty topics only. Use an empty cluster, or delete Homeostat's topics there."
                    )
                begun = Begun(lake=_free_name(settings))
                write_durably(settings.mirror / MARKER, msgspec.json.encode(begun))
            lake = _set_aside(settings, begun)
            _forget_offsets(settings)
            _write(connected, coming)
        (settings.mirror / MARKER).unlink()
        sync_directory(settings.mirror)
        return Result(models=coming, lake=lake, warnings=warnings)
    finally:
        held.release()


def _coming(settings: Settings, actor: str, reason: str) -> tuple[tuple[Back, ...], tuple[str, ...]]:
    """The models that come back, and what is to be said of them and of the others. Raises CannotRestore."""
    found, served, now = newest(settings.mirror), last_served(settings.root), datetime.now(UTC)
    if not found:
        raise CannotRestore(
            f"there is no mirror of decisions in {settings.mirror} that can be read, and without it nothing is known of the models. "
            "Bring back that directory or the broker's from a copy"
            + (f"; or {move_away(settings)} and register the models again." if settings.mirror.exists() else ".")
        )
    coming: list[Back] = []
    warnings = [f"{name} is not brought back: serving had it, and the mirror has not" for name in unknown(served, found)]
    if unreadable := folders(settings.mirror) - len(found):
        warnings.append(f"{unreadable} of the mirror's models cannot be read and are not brought back; see {settings.mirror}")
    store = DirectoryStore(settings.store)
    for one in found:
        known = served.get(one.model)
        try:
            coming.append(made := back(one, known, actor=actor, reason=reason, now=now))
        except NotBroughtBack as error:
            warnings.append(f"{one.model} is not brought back: {error}")
            continue
        if behind := lost_since(one, known):
            warnings.append(behind)
        if not _has(store, made.champion):
            warnings.append(
                f"the release {made.champion[:12]} that serves {one.model} is not in {settings.store}: bring it back from a copy"
            )
    if not coming:
        raise CannotRestore(f"no model can be brought back: {'; '.join(warnings)}.")
    return tuple(coming), tuple(warnings)


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
    try:
        broker.start(BROKER_S)
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


def _free_name(settings: Settings) -> str:
    number = max(one.incarnation for one in newest(settings.mirror))
    while settings.lake.with_name(f"{settings.lake.name}-{number}").exists():
        number += 1
    return f"{settings.lake.name}-{number}"


def _set_aside(settings: Settings, begun: Begun) -> Path:
    aside = settings.lake.with_name(begun.lake)
    if settings.lake.exists() and not aside.exists():
        settings.lake.rename(aside)
        sync_directory(settings.root)
    challengers = settings.root / CHALLENGERS
    if challengers.exists() and not (aside / CHALLENGERS).exists():
        aside.mkdir(parents=True, exist_ok=True)
        challengers.rename(aside / CHALLENGERS)
        sync_directory(settings.root)
    return aside


def _forget_offsets(settings: Settings) -> None:
    for name in OF_OLD_OFFSETS:
        shutil.rmtree(settings.root / name, ignore_errors=True)
    for mark in settings.mirror.glob(f"{MARK}*"):
        mark.unlink(missing_ok=True)


def _write(settings: Settings, coming: Sequence[Back]) -> None:
    """Write what is not there yet: a restore that goes on may have written some before."""
    there = _ids(settings)
    for one in coming:
        if records := [record for record in one.records if record.id not in there]:
            write_control(settings, *records)


def _ids(settings: Settings) -> set[str]:
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        return {msgspec.json.decode(message.value, type=_Id).id for message in read_topic(reader, topics.CONTROL, READ_S)}
    finally:
        reader.close()


class _Id(msgspec.Struct):
    id: str
