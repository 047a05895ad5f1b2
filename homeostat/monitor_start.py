"""Where the monitor begins: from the snapshots in the log and the files they name, or from the earliest record kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from homeostat.read_topic import read_places, read_topic
from streams import topics
from streams.adapters.repeats_files import RepeatsFiles
from streams.codec import Undecodable, decode_json, decode_msgpack
from streams.events import DeadLettered, Snapshot
from streams.monitor_snapshot import kept_in, owner
from streams.partition_fold import PartitionState
from streams.ports import LogReader
from streams.release import BlobCorrupt, BlobMissing

Place = tuple[str, int]
SOURCES: Final[tuple[Place, ...]] = tuple(
    (topic, partition) for topic in (topics.PREDICTIONS, topics.LABELS) for partition in range(topics.named(topic).partitions)
)
DEAD_LETTERS: Final[tuple[Place, ...]] = tuple(
    (topics.DEAD_LETTERS, partition) for partition in range(topics.named(topics.DEAD_LETTERS).partitions)
)
TIMEOUT_S: Final = 30.0

log = logging.getLogger("homeostat.monitor")


def states_at_start(reader: LogReader, files: RepeatsFiles) -> tuple[dict[Place, PartitionState], dict[Place, int]]:
    """The state of every source partition, and for each partition of `deadletters` the offset from which they matter."""
    reader.assign(dict.fromkeys(SOURCES, -2))
    earliest = {place: reader.position(place) for place in SOURCES}
    reader.assign(dict.fromkeys(DEAD_LETTERS, -2))
    first_letters = {place: reader.position(place) for place in DEAD_LETTERS}
    states: dict[Place, PartitionState] = {}
    letters: dict[Place, list[int]] = {place: [] for place in DEAD_LETTERS}
    snapshots = _snapshots(reader)
    for place in SOURCES:
        state, offsets = _restored(place, snapshots.get(place), earliest[place], files)
        states[place] = state
        for letter_place in DEAD_LETTERS:
            letters[letter_place].append(max(offsets.get(letter_place[1], 0), first_letters[letter_place]))
    return states, {place: min(offsets) for place, offsets in letters.items()}


def refused_before(
    reader: LogReader, since: Mapping[Place, int], states: Mapping[Place, PartitionState]
) -> set[tuple[str, int, int]]:
    """(topic, partition, offset) of the records beyond the states that were refused because their model was unknown.

    Whether a digest is unknown depends on when the store is asked; the first answer is in the dead letters and holds for
    every later reading, or the same records would give another window.
    """
    refused = set()
    for message in read_places(reader, since, reader.end_offsets(DEAD_LETTERS), TIMEOUT_S):
        try:
            letter = decode_json(message.value, DeadLettered)
        except Undecodable as error:
            log.warning("deadletters-%d offset %d cannot be read: %s", message.partition, message.offset, error.detail)
            continue
        state = states.get((letter.topic, letter.partition))
        if state is not None and letter.reason == "unknown_model" and letter.offset >= state.next_offset:
            refused.add((letter.topic, letter.partition, letter.offset))
    return refused


def _snapshots(reader: LogReader) -> dict[Place, Snapshot]:
    found = {}
    for message in read_topic(reader, topics.SNAPSHOTS, TIMEOUT_S):
        if message.key.startswith(b"monitor-") and message.value:
            record = decode_msgpack(message.value, Snapshot, topics.named(topics.SNAPSHOTS).max_record_bytes)
            if message.key == owner(record.topic, record.partition).encode():
                found[(record.topic, record.partition)] = record
    return found


def _restored(place: Place, record: Snapshot | None, earliest: int, files: RepeatsFiles) -> tuple[PartitionState, dict[int, int]]:
    topic, partition = place
    fresh = PartitionState(topic=topic, partition=partition, next_offset=earliest)
    if record is None:
        return fresh, {}
    try:
        kept = kept_in(record)
        repeats = files.restore(topic, partition, kept.pages)
    except (BlobMissing, BlobCorrupt, msgspec.DecodeError) as error:
        # Windows read once more are repeats to whoever has them, and lake files that exist stay as they are.
        log.warning("%s-%d: its snapshot cannot be used (%s); reading again from offset %d", topic, partition, error, earliest)
        return fresh, {}
    if record.offset < earliest:
        log.error(
            "%s-%d: records %d to %d were removed by retention before they were counted; keep the log longer, or the monitor running",
            topic, partition, record.offset, earliest - 1,
        )  # fmt: skip
    state = PartitionState(
        topic=topic, partition=partition, next_offset=max(record.offset, earliest), chain=kept.chain, repeats=repeats
    )
    return state, kept.dead_letters
