"""One window: a stretch of one partition of `predictions` or `labels`, with its counts by model and its rows.

A window ends before the first record (or heartbeat) whose broker tick is later than its first record's, or after
MAXIMUM_RECORDS. Its counters are changed in place while it is open: it has one owner, the fold of its partition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from streams.counting import ModelCounts, latency_bin
from streams.events import WindowCounted, derived_id
from streams.lake_row import LabelRow, PredictionRow

__all__ = ["MAXIMUM_RECORDS", "Window", "latency_bin"]

MAXIMUM_RECORDS: Final = 10_000


@dataclass(slots=True)
class Window:
    """An open window of one partition. Refused records and repeats are in it too: they have offsets and a tick."""

    topic: str
    partition: int
    first_offset: int
    tick: int
    end_offset: int
    records: int = 0
    last_ms: int = 0
    models: dict[str, ModelCounts] = field(default_factory=dict)
    rows: list[PredictionRow | LabelRow] = field(default_factory=list)

    def extend(self, end_offset: int, now_ms: int) -> None:
        """Take one more record."""
        self.records += 1
        self.end_offset = end_offset
        self.last_ms = max(self.last_ms, now_ms)

    def ends_before(self, tick: int) -> bool:
        """Whether it ends before a record, or a heartbeat, of that tick."""
        return tick > self.tick

    def counts_of(self, model: str, at: datetime) -> ModelCounts:
        """The counters of a model that has a record with event time `at` in this window."""
        counts = self.models.get(model)
        if counts is None:
            counts = self.models[model] = ModelCounts(at)
        return counts

    def counted(self, model: str, previous_first_offset: int) -> WindowCounted:
        """What goes out for a model when the window ends."""
        counts = self.models[model]
        return WindowCounted(
            id=derived_id(self.topic, self.partition, self.first_offset, model),
            at=counts.at.astimezone(UTC),
            model=model,
            topic=self.topic,
            partition=self.partition,
            first_offset=self.first_offset,
            end_offset=self.end_offset,
            previous_first_offset=previous_first_offset,
            tick=self.tick,
            rows=counts.rows,
            served=counts.served_counts(),
            made=counts.made_counts(),
            features=counts.feature_counts(),
            losses=counts.loss_counts(),
            pairs=counts.pair_counts(),
            repeated=counts.repeated,
            quarantined_rows=counts.quarantined_rows,
            quarantined=counts.quarantined_counts(),
        )
