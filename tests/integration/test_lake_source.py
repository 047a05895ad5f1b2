"""The trainer finds the same rows wherever the lake ends, and reads no more of it than it needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streams.adapters.lake import directory, encode, table_of
from streams.adapters.memory import MemoryLog, MemoryReader, MemoryWriter
from streams.codec import encode_json
from streams.events import HeartBeaten, Labelled
from streams.lake_file import file_name
from streams.lake_row import LabelRow, PredictionRow, label_row, prediction_row
from streams.ports import LogUnavailable, Outgoing, PositionLost
from streams.prediction_id import Sealer
from streams.topics import LABELS, PREDICTIONS, named
from tests.core.labelled_traffic import sealed_id, traffic
from tests.core.trainer_rows import minute, row
from trainer.adapters import lake_files, lake_source, log_tail
from trainer.adapters.lake_files import LakeFile
from trainer.adapters.lake_source import LakeSource
from trainer.dataset import SourceBehind, join
from trainer.example import Example

HORIZON = timedelta(days=1)
ROWS = 240
LAST = minute(1_000)


@pytest.fixture
def sealer() -> Sealer:
    """One installation's."""
    return Sealer(b"k" * 32)


@pytest.fixture
def log(sealer: Sealer) -> MemoryLog:
    """Two models' traffic, in one log."""
    log = MemoryLog()
    MemoryWriter(log).write(traffic(sealer, "m", range(ROWS)) + traffic(sealer, "other", range(50), seed=4), 1.0)
    return log


def keep_in_lake(log: MemoryLog, sealer: Sealer, lake: Path, share: float, records: int = 10) -> None:
    """Write the first part of every partition to the lake, in files of so many records."""
    for topic in (PREDICTIONS, LABELS):
        for partition in range(named(topic).partitions):
            reader = MemoryReader(log)
            end = int(reader.end_offsets([(topic, partition)])[topic, partition] * share)
            reader.assign({(topic, partition): 0})
            messages = reader.poll(0.0, 10_000)[:end]
            folder = directory(lake, topic, partition)
            folder.mkdir(parents=True)
            for first in range(0, end, records):
                part = messages[first : first + records]
                rows = [prediction_row(m) if topic == PREDICTIONS else label_row(m, sealer, HORIZON) for m in part]
                kept = table_of(topic, [r for r in rows if isinstance(r, (PredictionRow, LabelRow))])
                (folder / file_name(first, first + len(part))).write_bytes(encode(kept))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The lake files that were read, in order."""
    files: list[Path] = []
    reads = lake_files.read

    def noting(file: LakeFile) -> object:
        files.append(file.path)
        return reads(file)

    monkeypatch.setattr(lake_files, "read", noting)
    return files


def source(log: MemoryLog, sealer: Sealer, lake: Path) -> LakeSource:
    """A fresh one."""
    return LakeSource(lake, MemoryReader(log), sealer, HORIZON)


def numbers(examples: Sequence[Example]) -> list[int]:
    """The rows' numbers."""
    return [example.seq for example in examples]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_the_rows_are_the_same_wherever_the_lake_ends(log: MemoryLog, sealer: Sealer, tmp_path: Path, share: float) -> None:
    """All in the log, all in the lake, or some in each: features and labels as they were served."""
    keep_in_lake(log, sealer, tmp_path, share)
    found = source(log, sealer, tmp_path).newest("m", LAST, ROWS)
    examples = join(found, LAST)
    assert numbers(examples) == list(range(ROWS))
    assert [(example.features, example.label) for example in examples] == [row(number) for number in range(ROWS)]
    assert sum(found.covers.values()) == 2 * (ROWS + 50)


def test_rows_of_a_lake_that_a_restore_set_aside_count_and_its_offsets_do_not(
    log: MemoryLog, sealer: Sealer, tmp_path: Path
) -> None:
    """The new log begins at offset 0 again: what it holds below the old lake's ends is read, and both are one dataset."""
    keep_in_lake(log, sealer, tmp_path / "lake-1", 1.0)
    anew = MemoryLog()
    MemoryWriter(anew).write(traffic(sealer, "m", range(ROWS, ROWS + 40)), 1.0)
    found = source(anew, sealer, tmp_path / "lake").newest("m", LAST, ROWS + 40)
    assert numbers(join(found, LAST)) == list(range(ROWS + 40))
    assert sum(found.covers.values()) == 2 * 40


def test_only_the_newest_files_are_read_and_none_is_missed(
    log: MemoryLog, sealer: Sealer, tmp_path: Path, read: list[Path]
) -> None:
    """Thirty rows asked for of 240: the thirty newest are there, and most of the lake stays unread."""
    keep_in_lake(log, sealer, tmp_path, 1.0)
    files = len(list(tmp_path.rglob("*.parquet")))
    found = join(source(log, sealer, tmp_path).newest("m", LAST, 30), LAST)
    assert numbers(found)[-30:] == list(range(ROWS - 30, ROWS))
    assert len(read) < files * 0.6


def test_a_file_is_read_once_however_many_runs_ask(
    log: MemoryLog, sealer: Sealer, tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files never change, so what was read stays good; a small bound makes room again."""
    keep_in_lake(log, sealer, tmp_path, 1.0)
    asked = source(log, sealer, tmp_path)
    first = asked.newest("m", LAST, ROWS)
    once = len(read)
    assert asked.newest("m", LAST, ROWS) == first
    assert len(read) == once
    monkeypatch.setattr(lake_source, "CACHE_BYTES", 1)
    cramped = source(log, sealer, tmp_path)
    assert cramped.newest("m", LAST, ROWS) == cramped.newest("m", LAST, ROWS) == first
    assert len(read) == 3 * once


def test_rows_and_labels_after_as_of_are_not_there(log: MemoryLog, sealer: Sealer, tmp_path: Path) -> None:
    """A row of minute 95 is labelled at minute 100."""
    keep_in_lake(log, sealer, tmp_path, 0.5)
    assert numbers(join(source(log, sealer, tmp_path).newest("m", minute(100), ROWS), minute(100))) == list(range(96))


def test_what_the_monitor_refuses_is_not_learnt(log: MemoryLog, sealer: Sealer, tmp_path: Path) -> None:
    """A forged label, a heartbeat and bytes that are nothing: the rows are the same as without."""
    forged = sealed_id(Sealer(b"x" * 32), "m", 3)
    label = Labelled(id="l", at=minute(500), model="m", prediction=forged, label=1)
    writer = MemoryWriter(log)
    writer.write([Outgoing(topic=LABELS, key=forged.encode(), value=encode_json(label))], 1.0)
    writer.write(
        [Outgoing(topic=topic, key=b"", value=encode_json(HeartBeaten()), partition=2) for topic in (PREDICTIONS, LABELS)], 1.0
    )
    writer.write([Outgoing(topic=PREDICTIONS, key=b"x", value=b"\xff", partition=1)], 1.0)
    examples = join(source(log, sealer, tmp_path).newest("m", LAST, ROWS), LAST)
    assert [(example.features, example.label) for example in examples] == [row(number) for number in range(ROWS)]


def test_a_lake_that_is_far_behind_is_said_and_not_read_around(
    log: MemoryLog, sealer: Sealer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the newest rows it would be another dataset; the attempt may be repeated."""
    monkeypatch.setattr(log_tail, "MOST_RECORDS", 100)
    with pytest.raises(SourceBehind, match="580 records are not in the lake yet"):
        source(log, sealer, tmp_path).newest("m", LAST, ROWS)


def test_a_broker_that_is_away_and_records_that_are_gone_are_told_apart(log: MemoryLog, sealer: Sealer, tmp_path: Path) -> None:
    """Both are errors, never a smaller dataset."""
    log.forget((PREDICTIONS, 0), 5)
    with pytest.raises(PositionLost):
        source(log, sealer, tmp_path).newest("m", LAST, ROWS)
    log.go_away()
    with pytest.raises(LogUnavailable):
        source(log, sealer, tmp_path).newest("m", LAST, ROWS)


def test_a_file_that_is_still_being_written_is_not_looked_at(log: MemoryLog, sealer: Sealer, tmp_path: Path) -> None:
    """The monitor writes under a temporary name."""
    keep_in_lake(log, sealer, tmp_path, 1.0)
    folder = tmp_path / PREDICTIONS / "0"
    (folder / f".{sorted(path.name for path in folder.iterdir())[0]}.1.ab").write_bytes(b"half")
    assert len(join(source(log, sealer, tmp_path).newest("m", LAST, ROWS), LAST)) == ROWS


def test_the_end_of_the_log_is_read_once_and_handed_over_to_the_lake(log: MemoryLog, sealer: Sealer, tmp_path: Path) -> None:
    """Run after run the log grows and the lake takes over: each row is there once, as if all had been read at once."""
    asked = source(log, sealer, tmp_path / "lake")
    for more in (0, 20, 20):
        asked.newest("m", LAST, ROWS)
        last = numbers(join(asked.newest("m", LAST, ROWS), LAST))[-1] + 1
        MemoryWriter(log).write(traffic(sealer, "m", range(last, last + more)), 1.0)
    keep_in_lake(log, sealer, tmp_path / "lake", 0.6)
    found = asked.newest("m", LAST, ROWS + 40)
    assert found.covers == source(log, sealer, tmp_path / "lake").newest("m", LAST, ROWS).covers
    assert len(found.predictions) == len(found.labels) == ROWS + 40
    assert [example.features for example in join(found, LAST)] == [row(number)[0] for number in range(ROWS + 40)]


def spoilt_log(sealer: Sealer, spoilt: Sequence[int]) -> MemoryLog:
    """One model's traffic, some of it in quarantine."""
    log = MemoryLog()
    MemoryWriter(log).write(traffic(sealer, "m", range(ROWS), spoilt=spoilt), 1.0)
    return log


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_was_in_quarantine_is_found_with_its_flags(sealer: Sealer, tmp_path: Path, share: float) -> None:
    """The source decides nothing: whether such a row is learnt from is the run's to say."""
    log = spoilt_log(sealer, range(100, 120))
    keep_in_lake(log, sealer, tmp_path, share)
    examples = join(source(log, sealer, tmp_path).newest("m", LAST, ROWS), LAST)
    assert numbers(examples) == list(range(ROWS))
    marked = {example.seq: example.flags for example in examples if example.quarantined}
    assert marked == dict.fromkeys(range(100, 120), ("x:unit",))
    assert {example.flags for example in examples if not example.quarantined} == {()}


def test_an_incident_does_not_crowd_out_the_good_rows_before_it(sealer: Sealer, tmp_path: Path, read: list[Path]) -> None:
    """Thirty rows asked for, the newest hundred spoilt: the thirty good ones before them come too, and the lake is not read whole."""
    log = spoilt_log(sealer, range(ROWS - 100, ROWS))
    keep_in_lake(log, sealer, tmp_path, 1.0)
    examples = join(source(log, sealer, tmp_path).newest("m", LAST, 30), LAST)
    assert numbers(examples)[-130:] == list(range(ROWS - 130, ROWS))
    assert len(read) < len(list(tmp_path.rglob("*.parquet")))


def test_a_lake_that_is_older_than_the_mark_holds_rows_like_any_other(log: MemoryLog, sealer: Sealer, tmp_path: Path) -> None:
    """Its files lack the columns; the log beyond it has them."""
    keep_in_lake(log, sealer, tmp_path, 0.5)
    for path in tmp_path.rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([name for name in ("quarantined", "flags") if name in table.column_names]), path)
    examples = join(source(log, sealer, tmp_path).newest("m", LAST, ROWS), LAST)
    assert [(example.features, example.label) for example in examples] == [row(number) for number in range(ROWS)]
    assert {(example.quarantined, example.flags) for example in examples} == {(False, ())}


def test_a_file_that_cannot_be_read_is_waited_for(log: MemoryLog, sealer: Sealer, tmp_path: Path) -> None:
    """A dataset with a hole would not say so; brought back, it is read at the next try. What lies beside the lake is not of it."""
    keep_in_lake(log, sealer, tmp_path / "lake", 1.0)
    (tmp_path / "lake-x.tar").write_bytes(b"")
    (tmp_path / "lake-1").write_bytes(b"")
    damaged = next(directory(tmp_path / "lake", LABELS, 0).iterdir())
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100])
    trainee = source(log, sealer, tmp_path / "lake")
    with pytest.raises(SourceBehind, match=damaged.name):
        trainee.newest("m", LAST, ROWS)
    damaged.write_bytes(whole)
    assert numbers(join(trainee.newest("m", LAST, ROWS), LAST)) == list(range(ROWS))
