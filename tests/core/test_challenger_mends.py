"""What a lake may do to the challengers' desk: another log, damaged files, copies, labels told again, a long backlog."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.settings import Settings
from drift import joined_losses, staleness
from homeostat import challenger_start, restore
from homeostat.challenger_desk import ChallengerDesk
from homeostat.challenger_ring import losses_in
from homeostat.challenger_scoring import MOST_SCORES
from homeostat.challenger_state import path_of, read_state, write_state
from homeostat.due_files import GROUP_FILES
from homeostat.lost_log import Begun, move_away
from streams.adapters.lake import directory
from streams.codec import encode_json
from streams.events import ChallengerScore, ChallengerScored
from streams.lake_file import file_name
from streams.topics import LABELS, PREDICTIONS
from tests.core.challenger_lake import WAIT_S, Installation, LakeBuilder
from trainer.adapters import lake_files
from trainer.adapters.lake_files import Interrupted, LakeFiles


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    """A model that is served, and nothing in the lake."""
    return Installation(tmp_path)


@pytest.fixture
def desk(place: Installation) -> ChallengerDesk:
    """One that has begun."""
    desk = place.desk()
    place.turned(desk)
    return desk


def scored_rows(records: list[ChallengerScored]) -> list[int]:
    """Of each record."""
    return [sum(score.n for score in record.scores) for record in records]


def newest(place: Installation, topic: str, partition: int = 0) -> Path:
    """The file."""
    return max(directory(place.lake.root, topic, partition).iterdir())


@pytest.mark.parametrize("running", [True, False])
def test_covers_beyond_the_lake_are_of_another_log(place: Installation, desk: ChallengerDesk, *, running: bool) -> None:
    """Whoever began a new log and left the challenger's file: rows from offset 0 count, the ring stays; an empty lake says nothing."""
    place.lake.both(range(100), champion=place.champion)
    place.turned(desk)
    shutil.rmtree(place.lake.root)
    desk = desk if running else place.desk()
    place.turned(desk)
    assert place.state().covers == {"labels-0": 100}
    place.lake = LakeBuilder(place.lake.root)
    place.lake.both(range(100, 140), champion=place.champion)
    record = place.turned(desk)[-1]
    assert (record.first_offset, record.restarted, scored_rows([record])) == (0, "the log is another", [40])
    assert len(losses_in(place.state().ring)) == 140
    assert desk.position() == {"m": 40}


def test_records_owed_to_a_log_that_is_gone_are_not_told(place: Installation, desk: ChallengerDesk) -> None:
    """The same record told to the log that it is of (control)."""
    place.lake.both(range(100), champion=place.champion)
    place.turned(desk)
    owed = msgspec.structs.replace(place.state(), unsent=tuple(place.told()))
    write_state(place.path(), owed)
    place.turned(place.desk())
    assert len(place.told()) == 2
    write_state(place.path(), owed)
    shutil.rmtree(place.lake.root)
    place.lake = LakeBuilder(place.lake.root)
    place.lake.both(range(100, 110), champion=place.champion)
    assert scored_rows(place.turned())[2:] == [10]


def test_a_challengers_file_goes_where_its_lake_goes(place: Installation, desk: ChallengerDesk) -> None:
    """Set aside by a restore, twice with the same effect; and named to whoever gives the log up."""
    place.lake.both(range(20), champion=place.champion)
    place.turned(desk)
    settings = Settings(data=str(place.data))
    assert str(place.data / "challengers") in move_away(settings)
    for _ in range(2):
        aside = restore._set_aside(settings, Begun(lake="lake-1"))
    assert not place.path().exists()
    assert read_state(path_of(aside, "m")) is not None


def test_only_lakes_that_a_restore_set_aside_are_lakes(place: Installation, desk: ChallengerDesk) -> None:
    """Copies and files beside it are nobody's business; one set aside and removed again is no new log."""
    place.lake.both(range(60), champion=place.champion)
    place.turned(desk)
    (place.data / "lake-backup.tar").write_bytes(b"x")
    (place.data / "lake-7").write_bytes(b"x")
    for name in ("lake-backup", "lake-2-old", "lakes-1"):
        shutil.copytree(place.lake.root, place.data / name)
    place.lake.both(range(60, 80), champion=place.champion)
    assert scored_rows(place.turned(desk)) == [60, 20]
    shutil.copytree(place.lake.root, place.data / "lake-3")
    place.turned(desk)
    assert place.state().restarted == "the log is another"
    place.lake.both(range(80, 100), champion=place.champion)
    place.turned(desk)
    shutil.rmtree(place.data / "lake-3")
    place.lake.both(range(100, 120), champion=place.champion)
    assert (place.turned(desk)[-1].restarted, place.state().restarted) == ("", "")


@pytest.mark.parametrize("minutes_later", [5, -400])
def test_no_score_lies_beyond_its_record(place: Installation, desk: ChallengerDesk, minutes_later: int) -> None:
    """A label dated before its prediction, by a wrong clock: the controller takes the record all the same."""
    place.lake.predictions(range(300), champion=place.champion)
    place.lake.labels(range(300), minutes_later=minutes_later)
    record = place.turned(desk)[-1]
    policy = place.models["m"].policy.staleness
    now = staleness.period_of(record.at, policy)
    assert joined_losses.refusal(joined_losses.JoinedLosses(), record, newest=now) == ""
    assert record.period_seconds == policy.period.total_seconds()


def test_a_record_is_small_however_many_sums_it_has() -> None:
    """As many as there may be, all numbers long."""
    long = 10**12
    scores = tuple(
        ChallengerScore(
            release="f" * 64, period=10**7 + n, labelled=99_999, n=99_999, champion=long, challenger=long, difference_squared=long
        )
        for n in range(MOST_SCORES)
    )
    record = ChallengerScored(
        id="i" * 64, at=datetime(2026, 1, 1, 1, 1, 1, 1, UTC), model="m" * 64, actor="agents", reason="r" * 200,
        partition=7, first_offset=long, end_offset=long, scores=scores, period_seconds=86_400, restarted="w" * 500,
    )  # fmt: skip
    assert 64 * 1024 < len(encode_json(record)) < 128 * 1024


@pytest.mark.parametrize("topic", [PREDICTIONS, LABELS])
def test_a_damaged_file_is_absent(
    place: Installation, desk: ChallengerDesk, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Waited for, and passed over with one warning: no failure; rows of later files are scored."""
    place.lake.both(range(60), champion=place.champion)
    place.turned(desk)
    place.lake.both(range(60, 100), champion=place.champion)
    damaged = newest(place, topic)
    damaged.write_bytes(damaged.read_bytes()[:-200])
    place.turned(desk)
    assert len(place.told()) == 1
    for _ in range(4):
        place.now_s += WAIT_S
        place.turned(desk)
    place.lake.both(range(100, 120), champion=place.champion)
    assert scored_rows(place.turned(desk)) == ([60, 20] if topic == LABELS else [60, 0, 20])
    assert desk._failures == {}
    assert [record.message.startswith(str(damaged)) for record in caplog.records].count(True) == 1
    outcome = "unreadable" if topic == LABELS else "unfound"
    assert f'outcome="{outcome}"}} 40.0'.encode() in place.meters.exposition()


def test_a_file_that_can_be_read_again_is(place: Installation, desk: ChallengerDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brought back while it is waited for: nothing is lost."""
    monkeypatch.setattr(lake_files, "AGAIN_S", 0.0)
    place.lake.both(range(60), champion=place.champion)
    damaged = newest(place, LABELS)
    whole = damaged.read_bytes()
    damaged.write_bytes(b"PAR1 nothing PAR1")
    assert place.turned(desk) == []
    damaged.write_bytes(whole)
    assert scored_rows(place.turned(desk)) == [60]


def test_a_label_told_again_later_teaches_nothing(place: Installation, desk: ChallengerDesk) -> None:
    """Neither tested nor learnt nor counted, also after a restart; a row left out before counts when its label is mended."""
    place.lake.predictions(range(61), champion=place.champion)
    place.lake.labels(range(61), outcomes={60: "none"})
    place.turned(desk)
    before = place.state()
    place.lake.labels(range(61))
    records = {record.id: record for record in place.turned(place.desk())}  # after a restart what was owed is told again
    assert [sum(score.labelled for score in record.scores) for record in records.values()] == [60, 1]
    assert len(losses_in(place.state().ring)) == 61
    assert place.state().taken == before.taken + 61
    place.lake.labels(range(61))
    challenger = place.state().challenger
    desk = place.desk()
    assert scored_rows(place.turned(desk))[-1:] == [0]
    assert place.state().challenger == challenger


@pytest.mark.parametrize("apart", [True, False])
def test_of_copies_of_a_prediction_the_first_counts(place: Installation, desk: ChallengerDesk, *, apart: bool) -> None:
    """In one file or in two, as in a training's dataset; another model's row of the same numbers is none."""
    for champion in (place.champion, "e" * 64):
        place.lake.predictions(range(20), champion=champion)
    if not apart:
        files = sorted(directory(place.lake.root, PREDICTIONS, 0).iterdir())
        rows = pa.concat_tables([pq.read_table(file) for file in files])
        for file in files:
            file.unlink()
        pq.write_table(rows, files[0].with_name(file_name(0, 40)))
    place.lake.predictions(range(20), champion="f" * 64, model="other")
    place.lake.labels(range(20))
    scores = [score for record in place.turned(desk) for score in record.scores]
    assert {score.release for score in scores} == {place.champion}
    assert sum(score.n for score in scores) == 20


def noting(opened: list[object], honest: Callable[[Any], object]) -> Callable[[object], object]:
    """The same, and what it was asked for is noted."""

    def reading(what: object) -> object:
        opened.append(what)
        return honest(what)

    return reading


def link_backlog(place: Installation, files: int) -> None:
    """So many label files without a row of 'm'."""
    place.lake.labels(range(10), model="other")
    source = newest(place, LABELS)
    for number in range(1, files):
        (source.parent / file_name(number * 10, number * 10 + 10)).hardlink_to(source)


def test_a_beginning_counts_some_files_a_step_and_each_once(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """For however many models; and one without rows reads none of them whole."""
    link_backlog(place, 250)
    place.models["n"] = place.models["m"]
    opened: list[object] = []
    honest = lake_files._rows_by_model
    monkeypatch.setattr(lake_files, "_rows_by_model", noting(opened, honest))
    monkeypatch.setattr(lake_files, "read", lambda file: pytest.fail("no table is wanted"))
    desk = place.desk()
    desk.turn()
    assert 0 < len(opened) <= 2 * challenger_start.COUNTED_FILES
    assert not place.path().exists()
    while not place.path().exists():
        desk.turn()
    assert len(opened) == len(set(opened)) == 250


def test_whoever_is_to_stop_opens_no_further_file(place: Installation) -> None:
    """Asked between files: the beginning is left, and made at the next start."""
    link_backlog(place, 20)
    asked = 0

    def stop_at_five() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    lake = LakeFiles(place.lake.root, 2**20)
    lake.look()
    lake.interrupted = stop_at_five
    with pytest.raises(Interrupted):
        challenger_start.counted(lake)
    lake.interrupted = lambda: False
    assert challenger_start.counted(lake)


def test_a_backlog_of_no_concern_is_passed_over_in_steps_and_written(place: Installation, desk: ChallengerDesk) -> None:
    """Not at each file: now and then, so that a restart does not pass over all of it again."""
    link_backlog(place, GROUP_FILES + 20)
    assert desk.turn()
    assert place.state().covers == {}
    place.now_s += 61.0
    assert not desk.turn()
    assert place.state().covers == {"labels-0": 10 * (GROUP_FILES + 20)}


def test_behind_a_file_that_waits_none_is_opened(
    place: Installation, desk: ChallengerDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its predictions are not there; when the time is over, it is over for those behind it too."""
    for first in range(0, 100, 10):
        place.lake.labels(range(first, first + 10))
    opened: list[object] = []
    honest = lake_files.read
    monkeypatch.setattr(lake_files, "read", noting(opened, honest))
    place.turned(desk)
    assert len(opened) == 1
    place.now_s += WAIT_S
    assert len(place.turned(desk)) == 10
