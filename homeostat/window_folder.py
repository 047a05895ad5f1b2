"""Folds windows and writes what follows to `control`: the desk that Faust, or an in-memory log, brings messages to.

Order of each window: outputs acknowledged, then the state moves. So whatever is not folded has not been told, whatever is
told twice has the same id and content, and a message that was brought twice, late or not at all changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from drift.monitoring import Hole, ModelState, Signal, State, advance
from homeostat import agents_snapshots
from homeostat.agents_meters import AgentsMeters
from homeostat.model_knowledge import ModelKnowledge
from homeostat.patience import PATIENCE_S, Patience
from streams import topics
from streams.codec import Undecodable, decode_msgpack, encode_json
from streams.crash_points import NOWHERE, CrashPoints
from streams.dead_letter import dead_letter, model_named
from streams.events import WindowCounted
from streams.ports import LogReader, LogUnavailable, LogWriter, Message, Outgoing, PositionLost, RecordTooLarge

WRITE_S: Final = 10.0
SNAPSHOT_EVERY_S: Final = 5.0
SNAPSHOT_S: Final = 3.0
"""How long the broker may take to acknowledge one."""
BATCH: Final = 200
MAXIMUM_BYTES: Final = topics.named(topics.WINDOWS).max_record_bytes

log = logging.getLogger("homeostat.agents")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """One partition: its state covers everything below `offset`."""

    offset: int
    state: State
    at: datetime | None = None
    """Broker time of the last window folded."""
    saved_offset: int = -1
    saved_s: float = 0.0


class WindowFolder:
    """All partitions of this process. Every method but `models` and `position` is called from one thread."""

    def __init__(
        self,
        *,
        reader: LogReader,
        writer: LogWriter,
        knowledge: ModelKnowledge,
        patience: Patience,
        meters: AgentsMeters,
        clock: Callable[[], float] = time.monotonic,
        crash: CrashPoints = NOWHERE,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._knowledge = knowledge
        self._patience = patience
        self._meters = meters
        self._clock = clock
        self._crash = crash
        self._folded: dict[int, Folded] = {}
        self._holed: set[tuple[str, str, int]] = set()

    def handle(self, message: Message) -> None:
        """Fold one message; what lies before it and is not folded yet is read and folded first."""
        at = self._folded.get(message.partition)
        if at is None or message.offset > at.offset:
            self.restore({message.partition: message.offset})
        if message.offset >= self._folded[message.partition].offset:
            self._patiently(message)

    def restore(self, upto: Mapping[int, int]) -> None:
        """Take up each partition from its snapshot, or where it stands, and fold up to an offset."""
        new = [partition for partition in upto if partition not in self._folded]
        if new:
            kept = self._patience.insisting(lambda: agents_snapshots.load(self._reader, new))
            for partition in new:
                offset, state = kept.get(partition, (0, State()))
                self._folded[partition] = Folded(offset=offset, state=state, saved_offset=offset, saved_s=self._clock())
        behind = {partition: offset for partition, offset in upto.items() if self._folded[partition].offset < offset}
        for partition, offset in behind.items():
            self._read_again(partition, offset)

    def bury(self, message: Message, error: Exception) -> None:
        """Dead-letter a message and go on behind it; the windows after it show the hole, unless it was its place's first."""
        self._dead_letter(message, "unfoldable", f"{type(error).__name__}: {error}")
        self._stand(message, self._folded[message.partition].state)

    def turn(self) -> None:
        """Write the snapshots that are due, and the gauges."""
        for partition, one in self._folded.items():
            if self._clock() - one.saved_s >= SNAPSHOT_EVERY_S:
                self._save(partition)
            self._meters.standing(one.state)

    def close(self) -> None:
        """Write all snapshots, so that the next start reads little again."""
        for partition in self._folded:
            self._save(partition)

    def folded(self) -> dict[int, int]:
        """By partition, the offset up to which all is folded."""
        return {partition: one.offset for partition, one in self._folded.items()}

    def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """By partition, the end of the log. Raises LogUnavailable."""
        ends = self._reader.end_offsets([(topics.WINDOWS, partition) for partition in partitions])
        self._meters.lag(sum(max(0, end - self._folded[p].offset) for (_, p), end in ends.items() if p in self._folded))
        return {partition: end for (_, partition), end in ends.items()}

    def models(self) -> dict[str, ModelState]:
        """The models of this process as they stand, for any thread."""
        return {name: model for one in dict(self._folded).values() for name, model in one.state.models.items()}

    def position(self) -> dict[str, object]:
        """For the status server: rows folded by model and topic, and the offset of each partition."""
        folded = dict(self._folded)
        models = self.models()
        return {
            "rows": {
                name: {topic: model.rows.get(topic, 0) for topic in (topics.PREDICTIONS, topics.LABELS)}
                for name, model in sorted(models.items())
            },
            "windows": {str(partition): one.offset for partition, one in sorted(folded.items())},
            "late": {name: model.periods.late for name, model in sorted(models.items())},
            "incidents": {name: sorted(model.triage.incidents) for name, model in sorted(models.items())},
            "stopped": sorted({model for model, _, _ in self._holed}),
        }

    def _read_again(self, partition: int, upto: int) -> None:
        """Fold [where we stand, upto) through a reader of our own."""
        place = (topics.WINDOWS, partition)
        start = self._folded[partition].offset
        self._patience.insisting(lambda: self._reader.assign({place: start}))
        idle_since = self._clock()
        while self._folded[partition].offset < upto:
            try:
                messages = self._reader.poll(0.1, BATCH)
            except PositionLost:
                log.error("windows-%d: offset %d is no longer kept; going on from the earliest that is", partition, start)
                self._patience.insisting(lambda: self._reader.assign({place: -2}))
                continue
            for message in messages:
                if message.offset < upto:
                    self._patiently(message)
            if messages:
                idle_since = self._clock()
            elif self._reader.position(place) >= upto:  # what is left are markers
                self._folded[partition] = replace(self._folded[partition], offset=upto)
            elif self._clock() - idle_since > PATIENCE_S:
                raise LogUnavailable(f"windows-{partition}: no progress for {PATIENCE_S:g} s before offset {upto}")
            self._patience.check()

    def _patiently(self, message: Message) -> None:
        self._patience.insisting(lambda: self._fold(message))

    def _fold(self, message: Message) -> None:
        state = self._folded[message.partition].state
        try:
            window = decode_msgpack(message.value, WindowCounted, MAXIMUM_BYTES)
        except Undecodable as error:
            self._dead_letter(message, error.reason, error.detail)
            self._stand(message, state)
            return
        if message.key != window.model.encode():
            self._dead_letter(message, "wrong_key", f"its model is {window.model!r}")
            self._stand(message, state)
            return
        informed = self._knowledge.informed(state, window, message.broker_time)
        try:
            now, signals = advance(informed, window)
        except Hole as hole:
            self._alarm(message, hole)
            self._stand(message, state)
            return
        if signals:
            self._writer.write([_outgoing(signal) for signal in signals], WRITE_S)
            self._crash.reached("agents:signal_written")
        self._stand(message, now)
        self._meters.folded(window, before=state, now=now, signals=signals)

    def _stand(self, message: Message, state: State) -> None:
        self._folded[message.partition] = replace(
            self._folded[message.partition], offset=message.offset + 1, state=state, at=message.broker_time
        )

    def _alarm(self, message: Message, hole: Hole) -> None:
        window = hole.window
        self._meters.hole(window.model)
        key = (window.model, window.topic, window.partition)
        if key not in self._holed:  # once: every later window of this chain is refused too
            self._dead_letter(message, "hole", str(hole))
            log.error("%s", hole)
            self._holed.add(key)

    def _dead_letter(self, message: Message, reason: str, detail: str) -> None:
        letter = dead_letter(message, reason, detail, model=model_named(message))
        place = f"{message.topic}-{message.partition}".encode()
        self._writer.write([Outgoing(topic=topics.DEAD_LETTERS, key=place, value=encode_json(letter))], WRITE_S)
        self._meters.dead_letter(reason)

    def _save(self, partition: int) -> None:
        """Write a snapshot where there is something new. Without it the next start reads more again.

        Without any, it begins with the earliest windows kept, and what retention removed before them is not counted.
        """
        one = self._folded[partition]
        if one.at is None or one.offset <= one.saved_offset:
            return
        try:
            agents_snapshots.save(self._writer, partition, offset=one.offset, state=one.state, at=one.at, timeout_s=SNAPSHOT_S)
        except (LogUnavailable, RecordTooLarge) as error:
            log.warning("no snapshot of windows-%d now: %s", partition, error)
            self._folded[partition] = replace(one, saved_s=self._clock())
            return
        self._crash.reached("agents:snapshot_written")
        self._folded[partition] = replace(one, saved_offset=one.offset, saved_s=self._clock())


def _outgoing(signal: Signal) -> Outgoing:
    return Outgoing(topic=topics.CONTROL, key=signal.model.encode(), value=encode_json(signal))
