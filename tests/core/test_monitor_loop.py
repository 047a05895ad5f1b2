"""The monitor's loop on the log in memory: heartbeats, partitions that cannot go on, and what a restart remembers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from config.settings import Settings
from homeostat.monitor import BATCH, Clients, Monitor
from homeostat.monitor_start import states_at_start
from homeostat.read_topic import read_topic
from streams.adapters.lake import read_lake
from streams.adapters.memory import MemoryLog, MemoryReader, MemoryWriter
from streams.adapters.prometheus import Meters
from streams.adapters.repeats_files import RepeatsFiles
from streams.adapters.store import DirectoryStore
from streams.codec import LONGEST_DETAIL, decode_json, decode_msgpack
from streams.events import DeadLettered, HeartBeaten, Labelled, Predicted, WindowCounted
from streams.ports import LogUnavailable, LogWriter, Outgoing
from streams.topics import DEAD_LETTERS, LABELS, PREDICTIONS, WINDOWS
from tests.core.traffic import KEY, START, Traffic, key_and_value, replaced

MISSING = "f" * 64


class Bench:
    """A log with a clock of its own, a data directory, and monitors on them."""

    def __init__(self, root: Path) -> None:
        self.now: datetime = START
        self.log = MemoryLog(clock=lambda: self.now)
        self.settings = Settings(data=str(root), tick_ms=100, lake_tick_ms=1_000)
        self.settings.secret_file.write_bytes(KEY)
        self.settings.secret_file.chmod(0o600)
        self.store = DirectoryStore(self.settings.store)
        self.traffic = Traffic()
        self.registry = CollectorRegistry()

    def monitor(self, writer: LogWriter | None = None) -> Monitor:
        self.registry = CollectorRegistry()
        clients = Clients(sources=MemoryReader(self.log), others=MemoryReader(self.log), writer=writer or MemoryWriter(self.log))
        return Monitor(self.settings, clients, Meters(self.registry))

    def write(self, record: Predicted | Labelled | HeartBeaten, partition: int) -> None:
        topic = LABELS if isinstance(record, Labelled) else PREDICTIONS
        key, value = key_and_value(record)
        MemoryWriter(self.log).write([Outgoing(topic=topic, key=key, value=value, partition=partition)], 1.0)

    def turn(self, monitor: Monitor, ms: int, turns: int = 1) -> None:
        """Turns at `ms` after START by both clocks."""
        self.now = START + timedelta(milliseconds=ms)
        for _ in range(turns):
            monitor.turn(self.now)

    def windows(self) -> list[WindowCounted]:
        return [decode_msgpack(m.value, WindowCounted) for m in read_topic(MemoryReader(self.log), WINDOWS, 1.0)]

    def letters(self) -> list[DeadLettered]:
        return [decode_json(m.value, DeadLettered) for m in read_topic(MemoryReader(self.log), DEAD_LETTERS, 1.0)]

    def ends(self, topic: str) -> list[int]:
        places = [(topic, partition) for partition in range(8)]
        return list(MemoryReader(self.log).end_offsets(places).values())

    def blocked(self, topic: str) -> float | None:
        return self.registry.get_sample_value("homeostat_partitions_blocked", {"role": "monitor", "topic": topic})


class BreakingWriter(MemoryWriter):
    """Writes until it is broken."""

    broken = False

    def write(self, records: Sequence[Outgoing], timeout_s: float) -> None:
        if self.broken:
            raise LogUnavailable("the broker is away")
        super().write(records, timeout_s)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_heartbeat_goes_where_something_is_open_and_over(bench: Bench) -> None:
    """One ends the window, one the lake stretch; none before the tick is over, none elsewhere, none for ever after."""
    bench.traffic.put(bench.store)
    monitor = bench.monitor()
    bench.write(bench.traffic.predicted(0), 3)
    bench.turn(monitor, 50, 2)
    assert bench.ends(PREDICTIONS) == [0, 0, 0, 1, 0, 0, 0, 0] and bench.windows() == []
    bench.turn(monitor, 100, 3)
    assert bench.ends(PREDICTIONS) == [0, 0, 0, 2, 0, 0, 0, 0] and bench.ends(LABELS) == [0] * 8
    assert [(w.partition, w.first_offset, w.end_offset) for w in bench.windows()] == [(3, 0, 1)]
    assert read_lake(bench.settings.lake, PREDICTIONS, 3)[1] == 0
    bench.turn(monitor, 1_000, 3)
    assert bench.ends(PREDICTIONS)[3] == 3 and read_lake(bench.settings.lake, PREDICTIONS, 3)[1] == 1
    bench.turn(monitor, 60_000, 3)
    assert bench.ends(PREDICTIONS)[3] == 3


def test_with_a_slow_broker_clock_a_tick_gets_one_heartbeat(bench: Bench) -> None:
    """A heartbeat that the broker puts into the same tick ends nothing; the next one waits for the next tick."""
    bench.traffic.put(bench.store)
    monitor = bench.monitor()
    bench.write(bench.traffic.predicted(0), 3)
    for ms in (150, 160, 170, 180, 190, 250, 260, 270, 280):  # by the monitor's clock; the broker's stands still
        monitor.turn(START + timedelta(milliseconds=ms))
    assert bench.ends(PREDICTIONS)[3] == 3 and bench.windows() == []
    bench.turn(monitor, 350, 3)
    assert len(bench.windows()) == 1


def test_a_partition_with_more_to_read_gets_no_heartbeat(bench: Bench) -> None:
    """Its window ends with the records that wait to be read: a heartbeat behind them would be one too many."""
    bench.traffic.put(bench.store)
    monitor = bench.monitor()
    bench.write(bench.traffic.predicted(0), 3)
    bench.turn(monitor, 50)
    bad = Outgoing(topic=PREDICTIONS, key=b"", value=b"bad", partition=0)
    MemoryWriter(bench.log).write([bad] * BATCH, 1.0)
    bench.now = START + timedelta(milliseconds=150)
    bench.write(bench.traffic.predicted(1), 3)
    bench.turn(monitor, 150)
    assert len(bench.letters()) == BATCH and bench.ends(PREDICTIONS)[3] == 2


def test_a_label_whose_contract_cannot_be_loaded_blocks_its_partition_alone(bench: Bench) -> None:
    """It is never skipped, however long it takes; other partitions go on; once the contract is there it is counted."""
    monitor = bench.monitor()
    other = Traffic(model="other", epoch=78)
    other.put(bench.store)
    bench.write(other.labelled(2), 1)
    bench.write(bench.traffic.labelled(0), 1)
    bench.write(other.labelled(0), 1)
    bench.write(other.labelled(1), 2)
    bench.turn(monitor, 0)
    for hours in range(3):
        bench.turn(monitor, 3_600_000 * (hours + 1), 3)
    assert [(w.model, w.partition) for w in bench.windows()] == [("other", 2)] and bench.letters() == []
    assert bench.blocked(LABELS) == 1 and bench.blocked(PREDICTIONS) == 0
    bench.traffic.put(bench.store)
    bench.turn(monitor, 4 * 3_600_000, 2)
    bench.turn(monitor, 5 * 3_600_000, 3)
    assert [(w.model, w.partition, w.rows) for w in bench.windows()] == [("other", 2, 1), ("electricity", 1, 1), ("other", 1, 2)]
    assert bench.blocked(LABELS) == 0


def test_a_prediction_of_an_unknown_model_is_refused_after_a_bounded_wait(bench: Bench) -> None:
    """Its contract may still be on its way when it is young; once older than that it goes to the dead letters."""
    bench.traffic.put(bench.store)
    monitor = bench.monitor()
    bench.write(replaced(bench.traffic.predicted(0), contract=MISSING), 5)
    bench.write(bench.traffic.predicted(1), 5)
    bench.turn(monitor, 0)
    bench.turn(monitor, 29_000, 2)
    assert bench.letters() == [] and bench.blocked(PREDICTIONS) == 1
    bench.turn(monitor, 31_000, 3)
    assert [(x.reason, x.offset) for x in bench.letters()] == [("unknown_model", 0)]
    bench.turn(monitor, 40_000, 3)
    assert [w.rows for w in bench.windows()] == [1] and bench.blocked(PREDICTIONS) == 0


@pytest.mark.parametrize("unknown", ["contract", "release"])
def test_a_model_that_appears_later_changes_no_window_that_was_read(bench: Bench, unknown: str) -> None:
    """What was refused as unknown stays refused when the same records are read again, though it is known by now."""
    late = Traffic(model="late", epoch=78)
    bench.settings = msgspec.structs.replace(bench.settings, lake_tick_ms=3_600_000)
    if unknown == "release":
        bench.store.put(late.contract_blob())
    bench.traffic.put(bench.store)
    first = bench.monitor()
    for record in (bench.traffic.predicted(0), late.predicted(0), bench.traffic.predicted(1)):
        bench.write(record, 5)
    bench.turn(first, 31_000, 2)
    bench.turn(first, 31_200, 2)  # windows out, no lake file yet: a restart reads all of it again
    before = bench.windows()
    assert [w.rows for w in before] == [2] and [x.reason for x in bench.letters()] == ["unknown_model"]
    late.put(bench.store)
    second = bench.monitor()
    bench.turn(second, 31_300, 3)
    assert bench.windows() == [*before, *before]
    bench.write(late.predicted(1), 5)
    bench.turn(second, 90_000, 2)
    bench.turn(second, 95_000, 3)
    assert bench.windows()[-1].model == "late", "from now on it is counted"


def test_a_record_that_would_be_quoted_at_length_fits_the_dead_letters(bench: Bench) -> None:
    """A type or label of nearly a megabyte is refused with a short reason: a letter too large would end every process."""
    bench.traffic.put(bench.store)
    monitor = bench.monitor()
    long = "\u00e9" * 500_000
    typed = Outgoing(topic=PREDICTIONS, key=b"k", value=b'{"type":"%s"}' % long.encode(), partition=0)
    MemoryWriter(bench.log).write([typed], 1.0)
    bench.write(bench.traffic.labelled(0, long), 0)
    bench.turn(monitor, 0, 2)
    letters = bench.letters()
    assert {letter.reason for letter in letters} == {"unknown_type", "bad_label"}
    assert all(0 < len(letter.detail) <= LONGEST_DETAIL for letter in letters)


def test_two_stretches_that_end_in_one_flush_leave_the_newest_snapshot_whole(bench: Bench) -> None:
    """The older one is not pruned for: its pages lack those that came between, of which the newest snapshot names files."""
    bench.traffic.put(bench.store)
    later = Traffic(epoch=78)
    monitor = bench.monitor()
    for n, record in enumerate((bench.traffic.predicted(0), later.predicted(1), later.predicted(2))):
        bench.now = START + timedelta(milliseconds=1_100 * n)
        bench.write(record, 0)
    bench.turn(monitor, 2_250)
    files = RepeatsFiles(bench.settings.root / "repeats")
    states, _ = states_at_start(MemoryReader(bench.log), files)
    state = states[(PREDICTIONS, 0)]
    assert state.next_offset == 2 and {page.epoch for page in state.repeats.pages} == {77, 78}
    bench.turn(monitor, 9_000, 4)  # goes on, unchanged pages and all
    assert states_at_start(MemoryReader(bench.log), files)[0][(PREDICTIONS, 0)].next_offset >= 3


def test_what_cannot_be_written_ends_the_process_and_is_done_again(bench: Bench) -> None:
    """A failed delivery is an error of the loop; the next process publishes the same windows, without a gap."""
    bench.traffic.put(bench.store)
    writer = BreakingWriter(bench.log)
    monitor = bench.monitor(writer)
    for n in range(3):
        bench.now = START + timedelta(milliseconds=200 * n)
        bench.write(bench.traffic.predicted(n), 0)
    bench.turn(monitor, 450)
    assert len(bench.windows()) == 2
    bench.write(bench.traffic.predicted(3), 0)
    writer.broken = True
    with pytest.raises(LogUnavailable):
        bench.turn(monitor, 700, 2)
    bench.turn(bench.monitor(), 2_000, 4)
    chain = [(w.previous_first_offset, w.first_offset, w.rows) for w in bench.windows()]
    assert chain == [(-1, 0, 1), (0, 1, 1), (-1, 0, 1), (0, 1, 1), (1, 2, 2)]
