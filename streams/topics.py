"""Every topic: name, partitions, retention in bytes and time, compaction. The one place for topic names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

PREDICTIONS: Final = "predictions"
LABELS: Final = "labels"
WINDOWS: Final = "windows"
CONTROL: Final = "control"
DECISIONS: Final = "decisions"
ROUTES: Final = "routes"
SNAPSHOTS: Final = "snapshots"
DEAD_LETTERS: Final = "deadletters"

MIB: Final = 2**20
GIB: Final = 2**30
COMPACTED_SEGMENT_BYTES: Final = 16 * MIB
COMPACTED_SEGMENT_AGE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """How a topic is created. `retention_bytes` is per topic; -1 and None mean kept (bounded by what writes it)."""

    name: str
    partitions: int
    compacted: bool = False
    retention_bytes: int
    retention: timedelta | None
    max_record_bytes: int

    def configuration(self) -> dict[str, str]:
        """Broker configuration of this topic, Kafka's names and units."""
        per_partition = self.retention_bytes if self.retention_bytes < 0 else self.retention_bytes // self.partitions
        configuration = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_record_bytes),
        }
        if self.compacted:
            # Kafka compacts closed segments only: small ones, so that reading a whole topic at a start stays short.
            configuration["segment.bytes"] = str(COMPACTED_SEGMENT_BYTES)
            configuration["segment.ms"] = str(int(COMPACTED_SEGMENT_AGE.total_seconds() * 1000))
            configuration["min.cleanable.dirty.ratio"] = "0.1"
        else:
            configuration["retention.bytes"] = str(per_partition)
            configuration["retention.ms"] = str(-1 if self.retention is None else int(self.retention.total_seconds() * 1000))
        return configuration


TOPICS: Final = (
    # 52 GB a day at 1,000 rows/s: the default keeps a day or 10 GB, whichever is less.
    Topic(name=PREDICTIONS, partitions=8, retention_bytes=10 * GIB, retention=timedelta(days=1), max_record_bytes=MIB),
    Topic(name=LABELS, partitions=8, retention_bytes=4 * GIB, retention=timedelta(days=7), max_record_bytes=MIB),
    Topic(name=WINDOWS, partitions=16, retention_bytes=2 * GIB, retention=timedelta(days=7), max_record_bytes=8 * MIB),
    Topic(name=CONTROL, partitions=64, retention_bytes=8 * GIB, retention=timedelta(days=365), max_record_bytes=MIB),
    Topic(name=DECISIONS, partitions=64, retention_bytes=-1, retention=None, max_record_bytes=MIB),
    Topic(name=ROUTES, partitions=64, compacted=True, retention_bytes=-1, retention=None, max_record_bytes=MIB),
    Topic(name=SNAPSHOTS, partitions=16, compacted=True, retention_bytes=-1, retention=None, max_record_bytes=8 * MIB),
    Topic(name=DEAD_LETTERS, partitions=4, retention_bytes=GIB, retention=timedelta(days=14), max_record_bytes=MIB),
)
"""Partition counts of predictions, labels and control never change afterwards: a model's order and the dropping of repeats rest on them."""


def named(name: str) -> Topic:
    """The topic of that name."""
    return next(topic for topic in TOPICS if topic.name == name)
