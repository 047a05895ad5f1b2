"""Lake files: cut where windows end, whole or absent, equal bytes for equal rows, each offset read once."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streams import lake_file
from streams.adapters.lake import SCHEMAS, LakeWriter, read_lake, table_of
from streams.adapters.repeats_files import RepeatsFiles
from streams.events import HeartBeaten
from streams.lake_file import Stretch
from streams.lake_row import LabelRow, PredictionRow, label_row, prediction_row
from streams.partition_fold import FoldRules, StretchEnded, WindowEnded
from streams.ports import Message
from streams.release import BlobCorrupt, BlobMissing
from streams.repeats import Repeats
from streams.topics import LABELS, PREDICTIONS
from tests.core.traffic import HORIZON, Traffic, fold, message

T = Traffic()
BEAT = HeartBeaten()
ADDED = ("quarantined", "flags")
"""Columns that the first lakes had not."""


def stretches(log: list[Message], rules: FoldRules) -> list[tuple[int, int]]:
    _, outputs = fold(log, T.known(), rules)
    return [(o.stretch.first_offset, o.stretch.end_offset) for o in outputs if isinstance(o, StretchEnded)]


def predictions(*at_ms: int) -> list[Message]:
    return [message(PREDICTIONS, n, ms, T.predicted(n)) for n, ms in enumerate(at_ms)]


@pytest.mark.parametrize(
    ("story", "at_ms", "spans"),
    [
        ("it ends before the first record of a later lake tick", (0, 1_000, 59_999, 60_000), [(0, 3)]),
        ("a minute is the broker's, not sixty seconds from the first record", (59_000, 60_000, 61_000), [(0, 1)]),
        ("it ends at the first window end at or after six records", (0, 1, 1_000, 1_001, 2_000, 2_001, 3_000, 3_001), [(0, 6)]),
        (
            "a full stretch ends with its window, not with its last record",
            (0, 1, 1_000, 1_001, 2_000, 2_001, 2_002, 3_000),
            [(0, 7)],
        ),
        ("a full window may end it without another record", (0, 1, 2, 3, 4, 1_000, 1_001, 1_002, 1_003, 1_004), [(0, 10)]),
    ],
)
def test_where_files_end(story: str, at_ms: tuple[int, ...], spans: list[tuple[int, int]]) -> None:
    """A file ends where a window ends, or the same row would be counted in one and kept in another."""
    assert stretches(predictions(*at_ms), T.rules(maximum_records=5, maximum_stretch=6)) == spans, story


def write(root: Path, log: list[Message], rules: FoldRules, topic: str = PREDICTIONS) -> LakeWriter:
    writer = LakeWriter(root)
    for output in fold(log, T.known(), rules)[1]:
        if isinstance(output, WindowEnded):
            writer.add(topic, 0, output.rows)
        elif isinstance(output, StretchEnded):
            writer.end(topic, 0, output.stretch)
    return writer


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


LOG = [*predictions(*(n * 700 for n in range(200))), message(PREDICTIONS, 200, 900_000, BEAT)]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    """Two writers make byte for byte equal files, each named by its stretch."""
    write(tmp_path / "a", LOG, T.rules())
    write(tmp_path / "b", LOG, T.rules())
    assert files(tmp_path / "a") == files(tmp_path / "b")
    names = [lake_file.offsets_of(Path(name).name) for name in files(tmp_path / "a")]
    assert names == [(0, 86), (86, 172), (172, 200)]


def test_a_file_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """A restarted monitor leaves the files of its predecessor as they are."""
    write(tmp_path, LOG, T.rules())
    path = next(tmp_path.rglob("*.parquet"))
    path.write_bytes(b"as it was")
    write(tmp_path, LOG, T.rules())
    assert path.read_bytes() == b"as it was"


def test_a_stretch_without_rows_makes_no_file(tmp_path: Path) -> None:
    """Refused records and repeats alone leave nothing in the lake."""
    log = [message(PREDICTIONS, 0, 0, b"bad"), message(PREDICTIONS, 1, 70_000, BEAT)]
    assert stretches(log, T.rules()) == [(0, 1)]
    write(tmp_path, log, T.rules())
    assert files(tmp_path) == {}


def test_a_lake_is_read_back_as_it_was_served(tmp_path: Path) -> None:
    """Numbers, texts, outputs and times come back; missing values are in neither map; the end says where the log goes on."""
    rows = [
        T.predicted(0, candidate=True),
        T.predicted(1, features={"price": None, "zone": "süd"}),
        T.predicted(2, features={"on": True}),
    ]
    log = [message(PREDICTIONS, 10 + n, n, row) for n, row in enumerate(rows)] + [message(PREDICTIONS, 14, 70_000, BEAT)]
    write(tmp_path, log, T.rules())
    table, end = read_lake(tmp_path, PREDICTIONS, 0)
    assert end == 13 and table["offset"].to_pylist() == [10, 11, 12]
    assert table["id"].to_pylist() == [row.id for row in rows] and table["at"].to_pylist() == [row.at for row in rows]
    assert [dict(pairs) for pairs in table["numbers"].to_pylist()] == [{"price": 0.0}, {}, {"on": 1.0}]
    assert [dict(pairs) for pairs in table["texts"].to_pylist()] == [{"zone": "north"}, {"zone": "süd"}, {}]
    assert '"candidate"' in table["outputs"][0].as_py()
    assert table.equals(table_of(PREDICTIONS, [row for each in log if isinstance(row := prediction_row(each), PredictionRow)]))


def test_labels_are_read_back_with_their_predictions_identity(tmp_path: Path) -> None:
    """A label's row carries what its id sealed, and the label as it was given."""
    given: tuple[float | str | bool, ...] = ("1", 0.0, True)
    log = [message(LABELS, n, n, T.labelled(n, label)) for n, label in enumerate(given)]
    log.append(message(LABELS, 3, 70_000, BEAT))
    write(tmp_path, log, T.rules(), LABELS)
    table, end = read_lake(tmp_path, LABELS, 0)
    assert end == 3 and table["label"].to_pylist() == ['"1"', "0.0", "true"]
    assert table["seq"].to_pylist() == [0, 1, 2] and set(table["epoch"].to_pylist()) == {T.epoch}
    assert table["predicted_at"].to_pylist() == [T.event_time(n) for n in range(3)]
    assert table["at"].to_pylist() == [T.event_time(n) + timedelta(hours=1) for n in range(3)]
    rows = [row for each in log if isinstance(row := label_row(each, T.sealer, HORIZON), LabelRow)]
    assert table.equals(table_of(LABELS, rows))


@pytest.mark.parametrize("topic", [PREDICTIONS, LABELS])
def test_what_was_in_quarantine_is_kept_with_its_flags(topic: str, tmp_path: Path) -> None:
    """Everything is kept; the mark says what is not to be learnt from."""
    make = T.predicted if topic == PREDICTIONS else T.labelled
    log = [message(topic, n, n, make(n, quarantined=n == 1)) for n in range(3)] + [message(topic, 3, 70_000, BEAT)]
    write(tmp_path, log, T.rules(), topic)
    table, _ = read_lake(tmp_path, topic, 0)
    assert table["quarantined"].to_pylist() == [False, True, False]
    if topic == PREDICTIONS:
        assert table["flags"].to_pylist() == ["[]", '["price:unit"]', "[]"]


@pytest.mark.parametrize("topic", [PREDICTIONS, LABELS])
def test_a_file_that_is_older_than_the_mark_is_read_beside_a_new_one(topic: str, tmp_path: Path) -> None:
    """What it lacks reads as null."""
    make = T.predicted if topic == PREDICTIONS else T.labelled
    log = [message(topic, n, n * 60_000, make(n, quarantined=True)) for n in range(2)] + [message(topic, 2, 200_000, BEAT)]
    write(tmp_path, log, T.rules(), topic)
    old = sorted(tmp_path.rglob("*.parquet"))[0]
    pq.write_table(pq.read_table(old).drop_columns([name for name in ADDED if name in SCHEMAS[topic].names]), old)
    table, end = read_lake(tmp_path, topic, 0)
    assert (table["quarantined"].to_pylist(), table["offset"].to_pylist(), end) == ([None, True], [0, 1], 2)


def test_an_empty_lake_starts_at_0(tmp_path: Path) -> None:
    """Before the first file, everything is in the log; leftovers of a killed writer are no files."""
    folder = tmp_path / PREDICTIONS / "0"
    folder.mkdir(parents=True)
    (folder / f".{lake_file.file_name(0, 5)}.123.abcd").write_bytes(b"half")
    table, end = read_lake(tmp_path, PREDICTIONS, 0)
    assert (table.num_rows, end) == (0, 0)


def test_leftovers_of_a_killed_writer_are_swept_once_they_are_old(tmp_path: Path) -> None:
    """A temporary file may be another process's work in hand; an old one is nobody's, and files of the lake stay."""
    write(tmp_path, LOG, T.rules())
    before = files(tmp_path)
    folder = tmp_path / PREDICTIONS / "0"
    for name, age in ((".young", 10.0), (".old", 7_200.0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    LakeWriter(tmp_path).sweep(3_600.0)
    assert files(tmp_path) == {**before, f"{PREDICTIONS}/0/.young": b"half"}


def test_where_files_overlap_each_offset_is_read_once(tmp_path: Path) -> None:
    """A log read again from a later start may be cut elsewhere at first; no row is doubled."""
    rows = [PredictionRow(n, T.predicted(n)) for n in range(10)]
    for first, end in ((0, 4), (2, 6), (3, 5), (6, 10)):
        writer = LakeWriter(tmp_path)
        writer.add(PREDICTIONS, 0, rows[first:end])
        writer.end(PREDICTIONS, 0, Stretch(first_offset=first, end_offset=end, lake_tick=0, records=end - first, last_ms=0))
    table, end = read_lake(tmp_path, PREDICTIONS, 0)
    assert table["offset"].to_pylist() == list(range(10)) and end == 10


def test_a_file_is_written_beside_its_name_and_then_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way leaves no file under the name, and what was there before stays."""

    def no_rename(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_rename)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, LOG, T.rules())
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_row_group_holds_what_one_window_end_may_bring(tmp_path: Path) -> None:
    """The file says how many rows it has without being read."""
    write(tmp_path, LOG, T.rules())
    first = sorted(tmp_path.rglob("*.parquet"))[0]
    assert pq.read_metadata(first).num_rows == 86


def seen(numbers: range) -> Repeats:
    repeats = Repeats()
    for number in numbers:
        repeats.seen(7, number, 1_000)
    return repeats


def test_bitmaps_are_kept_as_files_and_restored(tmp_path: Path) -> None:
    """Only changed pages are written again; what no recent snapshot names is removed; a damaged file is refused."""
    repeats, keeper = seen(range(0, 200_000, 3)), RepeatsFiles(tmp_path)
    kept = keeper.keep(LABELS, 2, repeats.take())
    assert len(kept) == 4 and len(files(tmp_path)) == 4
    for generation in range(3):
        repeats.seen(7, 199_999 - 3 * generation, 2_000)
        kept = keeper.keep(LABELS, 2, repeats.take())
        keeper.prune(LABELS, 2, kept)
        assert len(files(tmp_path)) <= 5, "four pages, and the last one as the snapshot before had it"
    restored = RepeatsFiles(tmp_path).restore(LABELS, 2, kept)
    assert [page.name for page in restored.take()] == [page.name for page in repeats.take()]
    assert all(restored.seen(7, seq, 0) for seq in (3, 199_998, 199_999, 199_996, 199_993)) and not restored.seen(7, 4, 0)
    victim = tmp_path / "monitor-labels-2" / kept[0].digest
    victim.write_bytes(bytes(8_192))
    with pytest.raises(BlobCorrupt):
        RepeatsFiles(tmp_path).restore(LABELS, 2, kept)
    victim.unlink()
    with pytest.raises(BlobMissing):
        RepeatsFiles(tmp_path).restore(LABELS, 2, kept)


def test_bitmaps_are_bounded_in_number() -> None:
    """A sender that draws a new epoch for each row costs the oldest page, not the memory."""
    repeats = Repeats(maximum_pages=10)
    for epoch in range(100):
        assert not repeats.seen(epoch, 5, epoch)
    assert sorted(name.epoch for name in repeats.pages) == list(range(90, 100))
    assert repeats.seen(99, 5, 100)
