"""What the monitor writes: windows, dead letters, lake files and snapshots, in the order that makes a crash harmless."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from homeostat.monitor_start import Place
from streams import metric_names as metrics
from streams import topics
from streams.adapters.lake import LakeWriter
from streams.adapters.prometheus import Meters
from streams.adapters.repeats_files import RepeatsFiles
from streams.codec import encode_json, encode_msgpack
from streams.crash_points import NOWHERE, CrashPoints
from streams.dead_letter import dead_letter
from streams.events import HeartBeaten, WindowCounted
from streams.monitor_snapshot import Kept, KeptPage, encoded, owner, snapshot
from streams.partition_fold import Blocked, Output, Refusal, RepeatDropped, StretchEnded, WindowEnded
from streams.ports import LogWriter, Outgoing

ROLE: Final = "monitor"
WRITE_TIMEOUT_S: Final = 60.0

log = logging.getLogger("homeostat.monitor")


class Publisher:
    """Collects outputs between two flushes.

    Order of a flush: dead letters, then windows, then snapshots, each acknowledged before the next. Lake files are written
    as their stretch ends, before the snapshot beyond them: what a crash leaves undone is done again, with the same bytes.
    """

    def __init__(
        self,
        writer: LogWriter,
        lake: LakeWriter,
        files: RepeatsFiles,
        meters: Meters,
        letter_ends: Callable[[], dict[int, int]],
        crash: CrashPoints = NOWHERE,
    ) -> None:
        self._writer = writer
        self._lake = lake
        self._files = files
        self._meters = meters
        self._letter_ends = letter_ends
        self._crash = crash
        self._letters: list[Outgoing] = []
        self._windows: list[Outgoing] = []
        self._ended: list[tuple[Place, StretchEnded, tuple[KeptPage, ...]]] = []

    def take(self, place: Place, output: Output) -> None:
        """Receive one output of a partition's fold."""
        topic, partition = place
        match output:
            case WindowEnded():
                self._windows.extend(_window(counted) for counted in output.counted)
                self._meters.counter(metrics.WINDOWS_CLOSED, topic=topic).inc(len(output.counted))
                self._lake.add(topic, partition, output.rows)
            case StretchEnded():
                self._end(place, output)
            case Refusal():
                self._letters.append(_dead_letter(output))
                reason = output.refused.reason
                self._meters.counter(metrics.DEAD_LETTERS, role=ROLE, topic=topic, reason=reason).inc()
            case RepeatDropped():
                self._meters.counter(metrics.REPEATS_DROPPED, topic=topic).inc()
            case Blocked():
                raise AssertionError(f"a blocked record is not an output to publish: {output.digest}")

    def flush(self) -> None:
        """Make everything taken so far durable. Raises LogUnavailable, after which the process must end."""
        # Asked before this flush writes any: letters of records beyond the snapshots lie at these offsets or later.
        ends = self._letter_ends() if self._ended else {}
        for records, point in ((self._letters, "monitor:letters_written"), (self._windows, "monitor:window_written")):
            if records:
                self._writer.write(records, WRITE_TIMEOUT_S)
                self._crash.reached(point)
        if self._ended:
            self._writer.write([self._snapshot(*ended, ends) for ended in self._ended], WRITE_TIMEOUT_S)
            self._crash.reached("monitor:snapshot_written")
            newest = {place: pages for place, _, pages in self._ended}  # an older one may lack pages that this one names
            for (topic, partition), pages in newest.items():
                self._files.prune(topic, partition, pages)
        self._letters, self._windows, self._ended = [], [], []

    def beat(self, places: Sequence[Place]) -> None:
        """Write a heartbeat into each partition."""
        data = encode_json(HeartBeaten())
        if places:
            beats = [Outgoing(topic=topic, key=b"", value=data, partition=partition) for topic, partition in places]
            self._writer.write(beats, WRITE_TIMEOUT_S)

    def _end(self, place: Place, ended: StretchEnded) -> None:
        topic, partition = place
        size = self._lake.end(topic, partition, ended.stretch)
        if size:
            self._crash.reached("monitor:lake_written")
            self._meters.counter(metrics.LAKE_FILES, topic=topic).inc()
            self._meters.counter(metrics.LAKE_BYTES, topic=topic).inc(size)
        pages = self._files.keep(topic, partition, ended.pages)
        self._crash.reached("monitor:pages_kept")
        self._ended.append((place, ended, pages))

    def _snapshot(self, place: Place, ended: StretchEnded, pages: tuple[KeptPage, ...], ends: dict[int, int]) -> Outgoing:
        kept = Kept(chain=dict(sorted(ended.chain.items())), pages=pages, dead_letters=ends)
        return Outgoing(topic=topics.SNAPSHOTS, key=owner(*place).encode(), value=encoded(snapshot(*place, ended, kept)))


def _window(counted: WindowCounted) -> Outgoing:
    return Outgoing(topic=topics.WINDOWS, key=counted.model.encode(), value=encode_msgpack(counted))


def _dead_letter(refusal: Refusal) -> Outgoing:
    message, refused = refusal.message, refusal.refused
    letter = dead_letter(message, refused.reason, refused.detail)
    return Outgoing(topic=topics.DEAD_LETTERS, key=f"{message.topic}-{message.partition}".encode(), value=encode_json(letter))
