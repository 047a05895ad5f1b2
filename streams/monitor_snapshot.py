"""What the monitor keeps of a partition at the end of a lake stretch, so that it can begin again there."""

from __future__ import annotations

import msgspec

from streams.codec import encode_msgpack
from streams.events import Snapshot
from streams.partition_fold import StretchEnded


class KeptPage(msgspec.Struct, frozen=True, array_like=True):
    """A page of the repeats' bitmap: what it is of, and the SHA-256 of its file."""

    epoch: int
    number: int
    touched_ms: int
    digest: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """State of one partition at the snapshot's offset."""

    chain: dict[str, int]
    """By model, sorted: first offset of its last window."""
    pages: tuple[KeptPage, ...]
    dead_letters: dict[int, int]
    """By partition of `deadletters`: an offset before which no record from beyond this snapshot is refused."""


def owner(topic: str, partition: int) -> str:
    """Key and id of a partition's snapshot.

    >>> owner("labels", 3)
    'monitor-labels-3'
    """
    return f"monitor-{topic}-{partition}"


def snapshot(topic: str, partition: int, ended: StretchEnded, kept: Kept) -> Snapshot:
    """The record of it."""
    return Snapshot(
        id=owner(topic, partition),
        at=ended.at,
        model="",
        topic=topic,
        partition=partition,
        offset=ended.stretch.end_offset,
        state=msgspec.msgpack.encode(kept),
    )


def kept_in(record: Snapshot) -> Kept:
    """What a snapshot keeps."""
    return msgspec.msgpack.decode(record.state, type=Kept)


def encoded(record: Snapshot) -> bytes:
    """As it goes to the topic."""
    return encode_msgpack(record)
