"""The topic `windows` of a schedule: counts of each lot of rows, chained as the monitor chains them."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.chaos.broker import Broker
from streams.events import LossCounts, MadeCounts, PairCounts, ServedCounts, WindowCounted
from streams.policy import Policy

TICK_S = 30


@dataclass(frozen=True, slots=True)
class Published:
    """A window, and the policy in force when the broker took it."""

    window: WindowCounted
    policy: Policy


class Windows:
    """All windows of a schedule, in one partition."""

    def __init__(self, broker: Broker, policies: dict[str, Policy]) -> None:
        self._broker = broker
        self.policies = policies
        self.published: list[Published] = []
        self._next: dict[tuple[str, int], int] = {}
        self._last: dict[tuple[str, int, str], int] = {}

    def publish(
        self,
        model: str,
        topic: str,
        partition: int,
        rows: int,
        *,
        served: tuple[ServedCounts, ...] = (),
        made: tuple[MadeCounts, ...] = (),
        losses: tuple[LossCounts, ...] = (),
        pairs: tuple[PairCounts, ...] = (),
        quarantined_rows: int = 0,
    ) -> WindowCounted:
        """One more window."""
        first = self._next.get((topic, partition), 0)
        self._next[topic, partition] = first + rows
        previous = self._last.get((topic, partition, model), -1)
        self._last[topic, partition, model] = first
        window = WindowCounted(
            id=f"{topic}-{partition}-{first}",
            at=self._broker.now,
            model=model,
            topic=topic,
            partition=partition,
            first_offset=first,
            end_offset=first + rows,
            previous_first_offset=previous,
            tick=int(self._broker.now.timestamp()) // TICK_S,
            rows=rows,
            served=served,
            made=made,
            losses=losses,
            pairs=pairs,
            quarantined_rows=quarantined_rows,
        )
        self.published.append(Published(window, self.policies[model]))
        return window
