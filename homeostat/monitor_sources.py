"""The monitor's partitions: folds what was read, holds back a partition that cannot go on, and says when a heartbeat is due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from homeostat.monitor_start import Place
from streams.blob_loading import NotLoaded, load
from streams.lake_row import Refused
from streams.partition_fold import Blocked, FoldRules, Known, Output, PartitionState, advance, milliseconds, refuse
from streams.ports import LogReader, LogUnavailable, Message
from streams.release import BlobStore

RETRY: Final = timedelta(seconds=1)
"""How often the store is asked again for what blocks a partition."""

log = logging.getLogger("homeostat.monitor")


class Sources:
    """States of all partitions. `take` receives each output in order, with its partition."""

    def __init__(
        self,
        states: dict[Place, PartitionState],
        refused: set[tuple[str, int, int]],
        *,
        rules: FoldRules,
        store: BlobStore,
        unknown_wait: timedelta,
        take: Callable[[Place, Output], None],
    ) -> None:
        self.states = states
        self.blocked: dict[Place, Blocked] = {}
        self._refused = refused
        self._known = Known()
        self._rules = rules
        self._store = store
        self._unknown_wait = unknown_wait
        self._take = take
        self._retry_at = datetime.min.replace(tzinfo=UTC)
        self._beaten: dict[Place, int] = {}

    def assign(self, reader: LogReader) -> None:
        """Read every partition that is not blocked, from where its fold stands."""
        reader.assign({place: state.next_offset for place, state in self.states.items() if place not in self.blocked})

    def fold(self, messages: Iterable[Message], now: datetime) -> bool:
        """Fold what was read; True: a partition blocked, and reading must be assigned anew."""
        before = len(self.blocked)
        for message in messages:
            place = (message.topic, message.partition)
            if place not in self.blocked:
                self._step(place, message, now)
        return len(self.blocked) > before

    def retry(self, now: datetime) -> bool:
        """Ask the store again for what blocks; True: a partition may go on, and reading must be assigned anew."""
        if not self.blocked or now < self._retry_at:
            return False
        self._retry_at = now + RETRY
        freed = [place for place, blocked in self.blocked.items() if not isinstance(self._settle(blocked, now), NotLoaded)]
        for place in freed:
            del self.blocked[place]
        return bool(freed)

    def heartbeats_due(self, reader: LogReader, quiet: Sequence[Place], now: datetime) -> list[Place]:
        """Partitions with something open whose tick is over and whose end is reached: at most once for each tick."""
        now_ms = milliseconds(now)
        tick = now_ms // self._rules.tick_ms
        due = [place for place in quiet if self._beaten.get(place) != tick and self._over(place, now_ms)]
        if not due:
            return []
        try:
            ends = reader.end_offsets(due)
        except LogUnavailable as error:
            log.warning("no heartbeats now: %s", error)
            return []
        beats = [place for place in due if reader.position(place) >= ends[place]]
        self._beaten.update(dict.fromkeys(beats, tick))
        return beats

    def positions(self) -> Mapping[Place, int]:
        """The next offset to be folded."""
        return {place: state.next_offset for place, state in self.states.items()}

    def _over(self, place: Place, now_ms: int) -> bool:
        state = self.states[place]
        if place in self.blocked:
            return False
        if state.window is not None:
            return state.window.ends_before(now_ms // self._rules.tick_ms)
        return state.stretch is not None and now_ms // self._rules.lake_tick_ms > state.stretch.lake_tick

    def _step(self, place: Place, message: Message, now: datetime) -> None:
        if message.offset < self.states[place].next_offset:
            return  # read before the last assignment
        state, outputs = advance(self.states[place], message, self._known, self._rules)
        while outputs and isinstance(blocked := outputs[-1], Blocked):
            settled = self._settle(blocked, now)
            if isinstance(settled, NotLoaded):
                self.blocked[place] = blocked
                level = logging.ERROR if blocked.sealed or not settled.absent else logging.WARNING
                log.log(level, "%s-%d is blocked at offset %d: %s", *place, message.offset, settled.why)
                return
            if settled is None:
                state, outputs = advance(state, message, self._known, self._rules)
            else:
                state, outputs = refuse(state, message, settled, self._known, self._rules)
        self.states[place] = state
        for output in outputs:
            self._take(place, output)

    def _settle(self, blocked: Blocked, now: datetime) -> NotLoaded | Refused | None:
        """None: loaded. Refused: nobody has it, and its record is older than blobs take to arrive. NotLoaded: wait."""
        message = blocked.message
        if (message.topic, message.partition, message.offset) in self._refused:
            return Refused(reason="unknown_model", detail=f"{blocked.digest} was unknown when this record was first read.")
        failure = load(self._known, blocked, self._store)
        if failure is None or blocked.sealed or not failure.absent or now - message.broker_time <= self._unknown_wait:
            return failure
        return Refused(reason="unknown_model", detail=failure.why)
