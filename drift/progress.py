"""Whether a consumer moves: what it was not brought, and where it has stood still for too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An offset and since when (monotonic seconds) it has not moved."""

    offset: int
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """By partition, where the fold and the committed offset stand."""

    folded: Mapping[int, Standing] = field(default_factory=dict)
    committed: Mapping[int, Standing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`stuck`: why the process must end ('': it need not). `not_brought`: partitions to be read up to these offsets."""

    stuck: str = ""
    not_brought: Mapping[int, int] = field(default_factory=dict)


def watched(
    progress: Progress,
    now_s: float,
    *,
    ends: Mapping[int, int],
    folded: Mapping[int, int],
    committed: Mapping[int, int],
    waiting_s: float,
    stuck_s: float,
) -> tuple[Progress, Seen]:
    """Compare with the look before. Only a partition that lags is watched; a committed offset lags behind the fold.

    >>> progress, seen = watched(Progress(), 0.0, ends={0: 5}, folded={0: 3}, committed={}, waiting_s=2, stuck_s=60)
    >>> seen.not_brought
    {}
    >>> progress, seen = watched(progress, 2.0, ends={0: 5}, folded={0: 3}, committed={}, waiting_s=2, stuck_s=60)
    >>> seen.not_brought, seen.stuck
    ({0: 5}, '')
    >>> watched(progress, 61.0, ends={0: 5}, folded={0: 3}, committed={}, waiting_s=2, stuck_s=60)[1].stuck
    'windows-0 has stood at offset 3 of 5 for 61 s'
    """
    now = Progress(
        folded=_standing(progress.folded, folded, ends, now_s),
        committed=_standing(progress.committed, committed, folded, now_s),
    )
    not_brought = {place: ends[place] for place, one in now.folded.items() if now_s - one.since_s >= waiting_s}
    for name, standings, goals in (("", now.folded, ends), (" committed", now.committed, folded)):
        for place, one in sorted(standings.items()):
            seconds = now_s - one.since_s
            if seconds >= stuck_s:
                return now, Seen(
                    stuck=f"windows-{place} has stood at{name} offset {one.offset} of {goals[place]} for {seconds:.0f} s"
                )
    return now, Seen(not_brought=not_brought)


def _standing(
    before: Mapping[int, Standing], offsets: Mapping[int, int], goals: Mapping[int, int], now_s: float
) -> dict[int, Standing]:
    """Where each lagging partition stands, and since when."""
    standings = {}
    for place, goal in goals.items():
        offset = offsets.get(place, goal)
        if offset < goal:
            last = before.get(place)
            since = last.since_s if last is not None and last.offset == offset else now_s
            standings[place] = Standing(offset=offset, since_s=since)
    return standings
