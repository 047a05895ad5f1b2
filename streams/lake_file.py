"""Where a lake file ends, and what it is called. Files are cut where windows end, so that a row is in both or in neither."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

MAXIMUM_ROWS: Final = 100_000
"""A stretch ends with the window in which it reaches so many records."""

_NAME: Final = re.compile(r"(\d{20})-(\d{20})\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of one partition that becomes one file: offsets [first_offset, end_offset), `records` of any kind in it."""

    first_offset: int
    end_offset: int
    lake_tick: int
    """Broker time of its first record, in lake ticks."""
    records: int
    last_ms: int
    """Latest broker time in it."""

    def extended(self, end_offset: int, records: int, last_ms: int) -> Stretch:
        """The stretch with one more window in it."""
        return replace(self, end_offset=end_offset, records=self.records + records, last_ms=max(self.last_ms, last_ms))


def ends_before(stretch: Stretch, lake_tick: int) -> bool:
    """Whether the stretch ends before a record (or heartbeat) of that lake tick.

    >>> stretch = Stretch(first_offset=0, end_offset=10, lake_tick=4, records=10, last_ms=0)
    >>> ends_before(stretch, 3), ends_before(stretch, 4), ends_before(stretch, 5)
    (False, False, True)
    """
    return lake_tick > stretch.lake_tick


def ends_full(stretch: Stretch, maximum_rows: int = MAXIMUM_ROWS) -> bool:
    """Whether the stretch ends with the window that just ended."""
    return stretch.records >= maximum_rows


def file_name(first_offset: int, end_offset: int) -> str:
    """The name of a stretch's file; names sort as offsets do.

    >>> file_name(7, 1200)
    '00000000000000000007-00000000000000001200.parquet'
    """
    return f"{first_offset:020d}-{end_offset:020d}.parquet"


def offsets_of(name: str) -> tuple[int, int] | None:
    """First and end offset of a lake file by its name; None: not a lake file (a temporary one, say).

    >>> offsets_of(file_name(7, 1200)), offsets_of(".0.parquet.tmp")
    ((7, 1200), None)
    """
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match[1]), int(match[2]))


def in_order(names: Iterable[str]) -> Sequence[tuple[int, int, str]]:
    """The lake files among `names` as (first, end, name), in the order in which a reader takes them."""
    found = ((offsets_of(name), name) for name in names)
    return sorted((offsets[0], offsets[1], name) for offsets, name in found if offsets is not None)
