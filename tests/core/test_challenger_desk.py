"""The challengers' desk: what it takes from the lake, keeps in its file and tells `control`, whatever comes in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from homeostat import challenger_scoring, challenger_start
from homeostat.challenger_desk import MOST_FAILURES, OFF_S
from homeostat.challenger_ring import losses_in
from homeostat.challenger_start import Begun
from streams.adapters.memory import MemoryWriter
from streams.events import UNIT, ChallengerScored, QualityIncident, QuarantineRule, ReleaseQuarantine, Scalar
from streams.policy import QuarantinePolicy
from streams.ports import LogUnavailable
from tests.core.challenger_lake import WAIT_S, Died, DiesAt, Installation, said
from tests.core.trainer_rows import minute, row
from tests.core.training_shop import POLICY

ROWS = 240
FILES = 6


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    """A model that is served, and nothing in the lake."""
    return Installation(tmp_path)


def parts(rows: int = ROWS, files: int = FILES) -> list[range]:
    """So many stretches of numbers."""
    size = rows // files
    return [range(first, first + size) for first in range(0, rows, size)]


def fill(place: Installation, numbers: list[range] | None = None) -> None:
    """A file of predictions and one of labels for each stretch, in three partitions by turns."""
    for turn, part in enumerate(numbers or parts()):
        place.lake.both(list(part), champion=place.champion, partition=turn % 3)


def incident(since: int, *, closed: bool = False, until: int | None = None) -> QualityIncident:
    """Values of x beyond 1 are spoilt from that row on."""
    end = None if until is None else minute(until)
    rule = QuarantineRule(incident="i1", feature="x", kind="unit", since=minute(since), until=end, low=-1.0, high=1.0)
    return QualityIncident(
        id=f"incident-{closed}",
        at=minute(since + 1),
        model="m",
        actor="agents",
        reason="x",
        release="r",
        rule=rule,
        closed=closed,
    )


def of_m(records: list[ChallengerScored]) -> list[ChallengerScored]:
    """Those of model m."""
    return [record for record in records if record.model == "m"]


def test_a_label_file_gives_one_record_whose_sums_are_those_of_its_rows(place: Installation) -> None:
    """The champion always says 1, so that its loss is known; the challenger, warmed by the registration, is better."""
    desk = place.desk()
    assert place.turned(desk) == []
    fill(place)
    records = place.turned(desk)
    assert len({record.id for record in records}) == len(records) == FILES
    assert {(record.partition, record.first_offset, record.end_offset) for record in records} == {
        (turn % 3, 40 * (turn // 3), 40 * (turn // 3) + 40) for turn in range(FILES)
    }
    sums: Counter[str] = Counter()
    for record in records:
        for score in record.scores:
            assert score.release == place.champion
            assert 0 <= score.champion <= score.n * UNIT
            assert 0 <= score.challenger <= score.n * UNIT
            assert abs(score.champion - score.challenger) <= score.difference_squared <= score.n * UNIT
            sums.update(n=score.n, labelled=score.labelled, champion=score.champion, challenger=score.challenger)
    wrong = sum(row(number)[1] != 1 for number in range(ROWS))
    assert (sums["n"], sums["labelled"], sums["champion"]) == (ROWS, ROWS, wrong * UNIT)
    assert sums["challenger"] < 0.5 * sums["champion"]
    by_period = Counter((minute(number) - minute(0)).total_seconds() // 3_600 for number in range(ROWS))
    told = Counter[float]()
    first = min(score.period for record in records for score in record.scores)
    for record in records:
        told.update({score.period - first: score.n for score in record.scores})
    assert told == by_period
    assert desk.position() == {"m": ROWS}
    assert [record.restarted != "" for record in records].count(True) == 1


def test_the_ring_has_the_losses_of_every_scored_row_in_their_order(place: Installation) -> None:
    """What the trainer judges by: times, releases and both losses, as they were summed."""
    desk = place.desk()
    place.turned(desk)
    fill(place)
    records = place.turned(desk)
    ring = losses_in(place.state().ring)
    assert ring.at_us.tolist() == sorted(ring.at_us.tolist())
    assert len(ring) == ROWS
    assert set(ring.release) == {place.champion}
    summed = sum(score.challenger for record in records for score in record.scores)
    assert round(float(ring.challenger.sum()) * UNIT) == summed
    assert place.state().learnt_until == minute(ROWS - 1)


def test_a_share_is_drawn_by_the_rows_themselves(place: Installation, tmp_path: Path) -> None:
    """A quarter is scored, all are said to be labelled; another machine draws the same."""
    other = Installation(tmp_path / "other")
    for each in (place, other):
        each.serve(share=0.25)
        desk = each.desk()
        each.turned(desk)
        fill(each)
        each.turned(desk)
    scores = [score for record in place.told() for score in record.scores]
    assert sum(score.labelled for score in scores) == ROWS
    assert 0.15 * ROWS < sum(score.n for score in scores) < 0.35 * ROWS
    assert place.told() == other.told()


def test_labels_wait_for_their_predictions_and_not_for_ever(place: Installation) -> None:
    """A label file comes first; its predictions come; of the next file some never do."""
    desk = place.desk()
    place.turned(desk)
    place.lake.labels(range(20))
    assert place.turned(desk) == []
    place.now_s += WAIT_S / 2
    place.lake.predictions(range(20), champion=place.champion)
    assert [sum(score.n for score in record.scores) for record in place.turned(desk)] == [20]
    place.lake.predictions(range(20, 30), champion=place.champion)
    place.lake.labels(range(20, 40))
    place.lake.both(range(40, 50), champion=place.champion, partition=1)
    place.lake.labels(range(50, 51))
    assert {record.partition for record in place.turned(desk)[1:]} == {1}
    assert desk.position() == {"m": 30}
    place.now_s += WAIT_S
    records = place.turned(desk)
    assert [sum(score.n for score in record.scores) for record in records] == [20, 10, 10, 0]
    assert desk.position() == {"m": 51}
    assert b'outcome="unfound"} 11.0' in place.meters.exposition()


def test_a_prediction_of_another_partition_is_found(place: Installation) -> None:
    """A foreign producer may spread keys in another way."""
    desk = place.desk()
    place.turned(desk)
    place.lake.predictions(range(20), champion=place.champion, partition=5)
    place.lake.labels(range(20), partition=2)
    assert [sum(score.n for score in record.scores) for record in place.turned(desk)] == [20]


def test_a_prediction_is_found_however_far_out_of_order_its_file_lies(place: Installation) -> None:
    """A replay sends days in a moment: a later file of the partition may be hours older than the one before it."""
    desk = place.desk()
    place.turned(desk)
    place.lake.predictions(range(1_000, 1_020), champion=place.champion)
    place.lake.predictions(range(20), champion=place.champion)
    place.lake.labels(range(1_000, 1_020))
    assert [sum(score.n for score in record.scores) for record in place.turned(desk)] == [20]


@pytest.mark.parametrize("point", ["agents:challenger_kept", "agents:challenger_written"])
def test_a_crash_tells_nothing_anew_and_loses_nothing(place: Installation, tmp_path: Path, point: str) -> None:
    """Whoever dies behind its file, or behind the records, goes on as if it never had: same ids, same content, same state."""
    undisturbed = Installation(tmp_path / "other")
    for each in (place, undisturbed):
        each.turned()
        fill(each, parts()[:3])
    with pytest.raises(Died):
        place.turned(place.desk(DiesAt(point)))
    assert len(place.told()) == (0 if point == "agents:challenger_kept" else 3)
    desk = place.desk()
    assert desk.position() == {"m": 0}
    whole = {record.id: record for record in undisturbed.turned()}
    assert {record.id: record for record in place.turned(desk)} == whole
    assert all(record == whole[record.id] for record in place.told())
    assert desk.position() == {"m": 120}
    for each, mine in ((place, desk), (undisturbed, None)):
        fill(each, parts()[3:])
        each.turned(mine)
    assert {record.id: record for record in place.told()} == {record.id: record for record in undisturbed.told()}
    assert place.state() == undisturbed.state()


def test_a_broker_that_is_away_is_waited_for(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is told when it is back; nothing more is taken meanwhile."""
    desk = place.desk()
    place.turned(desk)
    fill(place, parts()[:3])

    def away(writer: MemoryWriter, records: object, timeout_s: float) -> None:
        raise LogUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryWriter, "write", away)
        assert not desk.turn()
        kept = place.state()
        assert len(kept.unsent) == 3
        fill(place, parts()[3:])
        assert not desk.turn()
        assert desk.position() == {"m": 0}
        assert place.state() == kept
    assert place.told() == []
    assert desk.turn()
    assert tuple(place.told()) == kept.unsent
    assert len(place.turned(desk)) == FILES


def test_what_comes_again_is_not_taken_again(place: Installation) -> None:
    """A log read once more from an earlier start: a file that overlaps; and a row that is labelled twice in what is new."""
    desk = place.desk()
    place.turned(desk)
    place.lake.both(range(20), champion=place.champion)
    place.turned(desk)
    place.lake.ends["labels", 0] = 10
    place.lake.predictions(range(20, 30), champion=place.champion)
    place.lake.labels([*range(10, 30), 29])
    records = place.turned(desk)
    assert [sum(score.n for score in record.scores) for record in records] == [20, 10]
    assert desk.position() == {"m": 31}


def test_spoilt_rows_are_neither_scored_nor_learnt(place: Installation) -> None:
    """In quarantine as they were served; unless the policy wants none."""
    desk = place.desk()
    place.turned(desk)
    place.lake.predictions(range(40), champion=place.champion, spoilt=range(10))
    place.lake.labels(range(40))
    assert [score.labelled for record in place.turned(desk) for score in record.scores] == [30]
    place.serve(msgspec.structs.replace(POLICY, quarantine=QuarantinePolicy(enabled=False)))
    place.lake.predictions(range(60, 100), champion=place.champion, spoilt=range(60, 70))
    place.lake.labels(range(60, 100))
    assert [score.labelled for score in place.turned(desk)[1].scores] == [40]


def test_a_data_bug_makes_it_begin_anew_without_the_spoilt_rows(place: Installation) -> None:
    """Known: rows since then are not scored, their losses leave the ring; released: they count again."""
    desk = place.desk()
    place.turned(desk)
    fill(place, parts()[:3])
    place.turned(desk)
    said(place.log, incident(since=60), decided="IncidentOpened")
    place.now_s += 10
    desk_two = place.desk()
    fill(place, parts()[3:4])
    records = place.turned(desk_two)
    assert records[-1].restarted == "a data bug is known: incident i1"
    spoilt = sum(not -1.0 <= float(str(row(number)[0]["x"])) <= 1.0 for number in parts()[3])
    assert spoilt > 0
    assert sum(score.labelled for score in records[-1].scores) == 40 - spoilt
    assert len(losses_in(place.state().ring)) == 60 + 40 - spoilt
    assert place.state().heard.incidents == ("i1",)
    said(place.log, incident(since=60, closed=True, until=150), decided="IncidentClosed")
    fill(place, parts()[4:5])
    closed = place.turned(place.desk())[-1]
    assert (closed.restarted, sum(score.labelled for score in closed.scores)) == ("a data bug is over", 40)
    release = ReleaseQuarantine(id="r", at=minute(1), model="m", actor="person", reason="x", incident="i1")
    said(place.log, release)
    fill(place, parts()[5:])
    assert place.turned(place.desk())[-1].restarted in {"", "a person released an incident"}


def test_a_model_of_no_concern_changes_nothing(place: Installation, tmp_path: Path) -> None:
    """Two models' rows in the same files: the one that this process folds is scored as if it were alone."""
    alone = Installation(tmp_path / "alone")
    for each in (place, alone):
        each.turned()
    for turn, part in enumerate(parts()):
        place.lake.predictions(part, champion=place.champion, partition=turn % 3)
        place.lake.predictions(part, champion=place.champion, partition=turn % 3, model="other")
        place.lake.labels(part, partition=turn % 3)
        place.lake.labels(part, partition=turn % 3, model="other")
    fill(alone)
    ours, theirs = place.turned(), alone.turned()
    assert [record.scores for record in ours] == [record.scores for record in theirs]
    assert place.state().challenger == alone.state().challenger
    assert [path.name for path in (place.data / "challengers").iterdir()] == ["m.challenger"]


@pytest.mark.parametrize("loss", ["file", "bytes", "challenger"])
def test_without_its_state_it_begins_behind_the_lake_and_is_no_fool(place: Installation, loss: str) -> None:
    """A lost or damaged file: warmed by what the lake has, it is as good as before from its first row; that it began anew is said."""
    place.turned()
    fill(place)
    place.turned()
    match loss:
        case "file":
            place.path().unlink()
        case "bytes":
            place.path().write_bytes(place.path().read_bytes()[:-20])
        case _:
            place.path().write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(place.state(), challenger=b"x")))
    desk = place.desk()
    assert len(place.turned(desk)) == FILES
    assert desk.position() == {"m": ROWS}
    place.lake.both(range(ROWS, ROWS + 60), champion=place.champion)
    record = place.turned(desk)[-1]
    assert "state" in record.restarted
    lost = sum(score.challenger for score in record.scores) / UNIT
    assert lost < 0.3 * 60


def test_a_cold_beginning_is_worse_than_a_warm_one(place: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: without the rows, the first ones are guessed."""
    cold = Installation(tmp_path / "cold")
    place.turned()
    with monkeypatch.context() as patch:
        patch.setattr(
            challenger_start, "begun", lambda model, *_: Begun(challenger=challenger_start.cold(model), learnt_until=None)
        )
        cold.turned()
    for each in (place, cold):
        each.lake.both(range(60), champion=place.champion)
    warm_lost, cold_lost = (sum(s.challenger for r in each.turned() for s in r.scores) for each in (place, cold))
    assert cold_lost > 1.3 * warm_lost


def test_another_contract_window_or_log_makes_it_begin_anew(place: Installation) -> None:
    """By the state alone: contract and window differ from what serves now; a restore set the lake aside."""
    place.turned()
    fill(place, parts()[:1])
    place.turned()
    for changes, why in (
        ({"contract": "0" * 64}, "the contract changed"),
        ({"contract": place.state().contract}, "the log is another"),
    ):
        if why == "the log is another":
            (place.data / "lake-3").mkdir()
        place.path().write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(place.state(), **changes)))
        desk = place.desk()
        place.turned(desk)
        assert place.state().restarted == why
    wider = msgspec.structs.replace(POLICY, training=msgspec.structs.replace(POLICY.training, window_rows=300))
    place.serve(wider)
    place.turned()
    assert place.state().restarted == "the training window changed"


def test_a_restored_log_begins_at_offset_0_and_its_rows_count(place: Installation) -> None:
    """The old lake lies aside: offsets below what was covered are new rows, and the old rows warm it."""
    place.turned()
    fill(place)
    place.turned()
    lake = place.lake.root
    lake.rename(lake.with_name("lake-1"))
    place.lake.ends.clear()
    desk = place.desk()
    place.turned(desk)
    place.lake.both(range(ROWS, ROWS + 40), champion=place.champion)
    record = place.turned(desk)[-1]
    assert record.restarted == "the log is another"
    assert (record.first_offset, sum(score.n for score in record.scores)) == (0, 40)
    assert desk.position() == {"m": 40}
    assert sum(score.challenger for score in record.scores) / UNIT < 0.3 * 40


def test_rows_that_no_model_likes_raise_nothing(place: Installation) -> None:
    """One class only, labels that are none, an answer that never came, features that are missing: sums stay possible."""
    desk = place.desk()
    place.turned(desk)
    empty: dict[int, dict[str, Scalar]] = {number: {"x": None, "colour": None} for number in range(20)}
    place.lake.predictions(range(40), champion=place.champion, features=empty, values={30: None, 31: float("nan")})
    place.lake.labels(range(40), outcomes={**dict.fromkeys(range(40), 1), 38: "none", 39: "7"})
    scores = [score for record in place.turned(desk) for score in record.scores]
    assert sum(score.n for score in scores) == 36
    assert all(0 <= sums <= score.n * UNIT for score in scores for sums in (score.champion, score.challenger))


def test_what_raises_is_its_own_concern_and_is_off_at_last(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure passes over what was there; rows that come after are scored again. Three in a row, and it is off for a while."""
    honest = challenger_scoring.predicted_then_learnt
    broken = True

    def failing(*arguments: object) -> object:
        if broken:
            raise ZeroDivisionError("planted")
        return honest(*arguments)

    monkeypatch.setattr(challenger_scoring, "predicted_then_learnt", failing)
    desk = place.desk()
    place.turned(desk)
    place.lake.both(range(20), champion=place.champion)
    assert place.turned(desk) == []
    broken = False
    place.lake.both(range(20, 40), champion=place.champion)
    record = place.turned(desk)[-1]
    assert record.restarted == "it failed: ZeroDivisionError: planted"
    assert desk.position() == {"m": 40}
    broken = True
    for number in range(MOST_FAILURES):
        assert desk.position()["m"] is not None
        place.lake.both(range(100 + number * 10, 110 + number * 10), champion=place.champion)
        place.turned(desk)
    assert desk.position() == {"m": None}
    place.turned(desk)
    assert b'homeostat_challenger_off{model="m"} 1.0' in place.meters.exposition()
    broken = False
    place.now_s += OFF_S + 1
    place.lake.both(range(200, 220), champion=place.champion)
    place.turned(desk)
    assert desk.position()["m"] is not None
    place.lake.both(range(220, 240), champion=place.champion)
    record = place.turned(desk)[-1]
    assert record.restarted.startswith("it was off")
    assert sum(score.n for score in record.scores) == 20


def test_switched_off_it_reads_nothing(place: Installation) -> None:
    """The policy wants none: no file, no record, and nobody waits for it."""
    place.serve(enabled=False)
    desk = place.desk()
    fill(place)
    assert place.turned(desk) == []
    assert desk.position() == {"m": None}
    assert not place.path().exists()


def test_a_diverged_challenger_is_warmed_at_once(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record that follows says so; the losses of the rows before stand."""
    honest = challenger_scoring.predicted_then_learnt

    def diverging(*arguments: Any) -> Any:
        after, losses = honest(*arguments)
        return replace(after, restarts=1), losses

    desk = place.desk()
    place.turned(desk)
    place.lake.both(range(60), champion=place.champion)
    monkeypatch.setattr(challenger_scoring, "predicted_then_learnt", diverging)
    place.turned(desk)
    assert place.state().restarted == "its sums had no solution"
    monkeypatch.undo()
    place.lake.both(range(60, 120), champion=place.champion)
    record = place.turned(desk)[-1]
    assert record.restarted == "its sums had no solution"
    assert sum(score.challenger for score in record.scores) / UNIT < 0.3 * 60
    assert np.isfinite(losses_in(place.state().ring).challenger).all()
