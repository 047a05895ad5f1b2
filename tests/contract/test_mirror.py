"""What the mirror keeps on disk: the newest state whoever writes late, whole decisions whatever was torn, within a bound."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from config.settings import Settings
from homeostat.control_fold import PartitionState
from homeostat.mirror import Mirror, decisions, earlier_decisions, folder_of, newest
from homeostat.mirror_mending import mend
from homeostat.mirror_writer import Change, MirrorWriter
from homeostat.model_state import ModelState
from streams import topics
from streams.adapters.memory import MemoryReader, MemoryWriter
from streams.adapters.memory_log import MemoryLog
from streams.codec import encode_json
from streams.events import Decided
from streams.ports import Outgoing
from tests.core.control_log import ControlLog, finished, losses, promote, registered, retrain


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path))


@pytest.fixture
def mirror(settings: Settings) -> Mirror:
    return Mirror(settings.mirror)


def promoted(model: str = "m") -> ControlLog:
    """A history with some of everything."""
    log = ControlLog(model)
    log.tell(registered(model))
    log.tell(retrain(model=model))
    log.tell(finished(log.decisions[-1].run, model=model))
    return log


def kept(log: ControlLog, model: str = "m") -> ModelState:
    return log.state.models[model]


def keep(mirror: Mirror, log: ControlLog, new: list[Decided], model: str = "m") -> None:
    mirror.keep(kept(log, model), partition=log.partition, offset=log.state.offset, decisions=new)


def names(found: list[Decided]) -> list[tuple[int, str]]:
    return [(one.offset, one.kind) for one in found]


def test_what_was_kept_is_read(mirror: Mirror, settings: Settings) -> None:
    log = promoted()
    keep(mirror, log, log.decisions)
    assert mirror.knows(kept(log))
    (found,) = newest(settings.mirror)
    assert (found.model, found.incarnation, found.partition, found.offset) == ("m", 1, log.partition, 3)
    assert msgspec.msgpack.decode(found.state, type=ModelState) == kept(log)
    assert decisions(settings, "m") == log.decisions
    assert decisions(settings, "nobody") == []


@pytest.mark.parametrize("model", ["../../outside", "/etc/passwd", "..", "a/b", "é" * 200])
def test_no_name_of_a_model_leads_out_of_the_directory(mirror: Mirror, settings: Settings, model: str) -> None:
    """Though the fold lets no such name in."""
    log = promoted()
    state = msgspec.structs.replace(kept(log), model=model)
    said = [msgspec.structs.replace(decision, model=model) for decision in log.decisions]
    mirror.keep(state, partition=log.partition, offset=log.state.offset, decisions=said)
    assert [one.model for one in newest(settings.mirror)] == [model]
    written = [path for path in settings.root.rglob("*") if path.is_file()]
    assert written
    assert all(path.resolve().is_relative_to(settings.mirror.resolve()) for path in written)


def test_a_leader_that_was_fenced_and_writes_late_does_no_harm(mirror: Mirror, settings: Settings) -> None:
    """Its state covers less, and its decisions are there already."""
    log = promoted()
    late, said = log.state.models["m"], list(log.decisions)
    offset = log.state.offset
    log.tell(losses(0, 20))
    keep(mirror, log, log.decisions)
    zombie = Mirror(settings.mirror)
    zombie.keep(late, partition=log.partition, offset=offset, decisions=said[-1:])
    assert newest(settings.mirror)[0].offset == log.state.offset
    assert names(decisions(settings, "m")) == names(log.decisions)


def test_only_the_newest_state_stays(mirror: Mirror, settings: Settings) -> None:
    log = promoted()
    for period in range(20):
        log.tell(losses(period, 20))
        keep(mirror, log, [])
    assert len(list(folder_of(settings.mirror, "m").glob("state-*"))) == 1


def test_a_state_that_cannot_be_read_is_passed_over(mirror: Mirror, settings: Settings) -> None:
    log = promoted()
    keep(mirror, log, log.decisions)
    folder = folder_of(settings.mirror, "m")
    (folder / f"state-{1:08d}-{99:020d}").write_bytes(b"half of a sta")
    assert newest(settings.mirror)[0].offset == log.state.offset


def test_a_torn_line_hides_no_other(mirror: Mirror, settings: Settings) -> None:
    log = promoted()
    keep(mirror, log, log.decisions[:1])
    path = next(folder_of(settings.mirror, "m").glob("decisions-*"))
    with path.open("ab") as file:
        file.write(b'{"type":"Decided","id":"to')
    keep(mirror, log, log.decisions[1:])
    assert names(decisions(settings, "m")) == names(log.decisions)


def test_decisions_are_bounded_and_the_newest_stay(settings: Settings) -> None:
    mirror = Mirror(settings.mirror, limit_bytes=8_000)
    log = promoted()
    for period in range(200):
        before = len(log.decisions)
        log.tell(losses(period, 20))
        keep(mirror, log, log.decisions[before:])
    size = sum(path.stat().st_size for path in folder_of(settings.mirror, "m").glob("decisions-*"))
    assert size < 4 * 8_000
    found = decisions(settings, "m")
    assert 0 < len(found) < len(log.decisions)
    assert names(found) == names(log.decisions[-len(found) :])


def test_incarnations_are_kept_apart_though_their_ids_are_the_same(mirror: Mirror, settings: Settings) -> None:
    """Ids derive from places in a log, and the next log has the same places."""
    log = promoted()
    keep(mirror, log, log.decisions)
    state = msgspec.structs.replace(kept(log), rollout=msgspec.structs.replace(kept(log).rollout, incarnation=2))
    mirror.keep(state, partition=log.partition, offset=1, decisions=log.decisions[:1])
    assert newest(settings.mirror)[0].incarnation == 2
    assert decisions(settings, "m") == [*log.decisions, log.decisions[0]]
    assert earlier_decisions(settings, "m", 2) == log.decisions


def test_a_disk_that_takes_nothing_stops_no_decision(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.mirror.write_bytes(b"no directory")
    log = promoted()
    keep(Mirror(settings.mirror), log, log.decisions)
    assert "the mirror of m is behind" in caplog.text


def written(memory_log: MemoryLog, log: ControlLog) -> None:
    """The log's decisions, where a leader puts them."""
    writer = MemoryWriter(memory_log)
    for one in log.decisions:
        record = Outgoing(topic=topics.DECISIONS, key=one.model.encode(), value=encode_json(one), partition=one.partition)
        writer.write([record], 1.0)


def lines(settings: Settings) -> int:
    return next(folder_of(settings.mirror, "m").glob("decisions-*")).read_bytes().count(b"\n")


@pytest.mark.parametrize("mirrored", [0, 1, 2, 3])
@pytest.mark.parametrize("marked", [True, False])
def test_what_the_mirror_missed_is_mended_from_the_log(
    mirror: Mirror, settings: Settings, memory_log: MemoryLog, mirrored: int, marked: bool
) -> None:
    """A process died between commit and mirror: at the next leadership nothing is missing, and nothing stands twice."""
    log = promoted()
    early = ControlLog()
    for message in log.messages[:mirrored]:
        early.append(message.value, message.key)
        keep(mirror, early, [one for one in early.decisions if one.offset == message.offset])
        if marked:
            mirror.mark(log.partition, early.state.offset)
    promote(log)
    written(memory_log, log)
    for _ in range(2):
        mend(mirror, MemoryReader(memory_log), {log.partition: log.state})
        assert mirror.knows(kept(log))
        assert mirror.marked(log.partition) == log.state.offset
        assert names(decisions(settings, "m")) == names(log.decisions)
        assert lines(settings) == len(log.decisions)


def test_mending_reads_back_as_far_as_it_must(mirror: Mirror, settings: Settings, memory_log: MemoryLog) -> None:
    """More decisions than are looked at first, none of them mirrored."""
    log = promoted()
    for period in range(900):
        log.tell(losses(period, 20))
    written(memory_log, log)
    mend(mirror, MemoryReader(memory_log), {log.partition: log.state, (log.partition + 1) % 64: PartitionState()})
    assert names(decisions(settings, "m")) == names(log.decisions)


def test_a_mark_of_another_log_is_not_believed(mirror: Mirror, settings: Settings, memory_log: MemoryLog) -> None:
    log = promoted()
    written(memory_log, log)
    mirror.mark(log.partition, 1_000)
    mend(mirror, MemoryReader(memory_log), {log.partition: log.state})
    assert names(decisions(settings, "m")) == names(log.decisions)


def test_a_state_that_was_lost_is_written_again_though_the_mark_is_right(
    mirror: Mirror, settings: Settings, memory_log: MemoryLog
) -> None:
    log = promoted()
    keep(mirror, log, log.decisions)
    mirror.mark(log.partition, log.state.offset)
    for path in folder_of(settings.mirror, "m").glob("state-*"):
        path.write_bytes(b"rot")
    mend(mirror, MemoryReader(memory_log), {log.partition: log.state})
    assert mirror.knows(kept(log))


def told(writer: MirrorWriter, log: ControlLog, since: int = 0) -> None:
    change = Change(state=kept(log), decisions=log.decisions[since:])
    writer.tell(log.partition, log.state.offset, [change])


def test_what_is_told_is_written_beside_and_marked(mirror: Mirror, settings: Settings) -> None:
    log = promoted()
    writer = MirrorWriter(mirror)
    told(writer, log)
    for period in range(50):
        before = len(log.decisions)
        log.tell(losses(period, 20))
        told(writer, log, before)
    writer.close()
    assert mirror.knows(kept(log))
    assert names(decisions(settings, "m")) == names(log.decisions)
    assert mirror.marked(log.partition) == log.state.offset


@pytest.mark.parametrize("refused", ["_append", "_put"])
def test_what_the_disk_refused_is_written_when_it_takes_it_again(
    mirror: Mirror, settings: Settings, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Once each, before and after the refusal, without a word from the leader; and meanwhile it is said to be behind."""
    log, writer = promoted(), MirrorWriter(mirror)
    with monkeypatch.context() as patched:
        patched.setattr(Mirror, refused, refuse)
        told(writer, log)
        wait_until(lambda: writer.behind == 1)
    before = len(log.decisions)
    log.tell(losses(0, 20))
    told(writer, log, before)
    wait_until(lambda: mirror.marked(log.partition) == log.state.offset)
    assert names(decisions(settings, "m")) == names(log.decisions)
    assert lines(settings) == len(log.decisions)
    assert mirror.knows(kept(log))
    assert writer.behind == 0
    writer.close()


def test_what_mending_could_not_write_is_tried_again(
    mirror: Mirror, settings: Settings, memory_log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, writer = promoted(), MirrorWriter(mirror)
    written(memory_log, log)
    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "_append", refuse)
        refused = mend(mirror, MemoryReader(memory_log), {log.partition: log.state})
    assert mirror.marked(log.partition) == 0
    writer.tell(log.partition, log.state.offset, refused[log.partition])
    writer.close()
    assert names(decisions(settings, "m")) == names(log.decisions)
    assert mirror.marked(log.partition) == log.state.offset


def test_a_disk_that_takes_a_part_is_given_the_rest(mirror: Mirror, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write = promoted(), os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
        keep(mirror, log, log.decisions)
    assert names(decisions(settings, "m")) == names(log.decisions)


def test_closing_gives_up_and_says_so(mirror: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    log, writer = promoted(), MirrorWriter(mirror)
    monkeypatch.setattr(Mirror, "_put", refuse)
    told(writer, log)
    writer.close()
    assert "decisions were not written before the end" in caplog.text
    assert mirror.marked(log.partition) == 0


def test_a_partition_that_others_lead_is_not_tried_again(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    log, writer = promoted(), MirrorWriter(mirror)
    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "_put", refuse)
        writer.dropped(log.partition)
        told(writer, log)
        wait_until(lambda: log.partition in writer._behind)
    writer.close()
    assert not mirror.knows(kept(log))
    assert mirror.marked(log.partition) == writer.behind == 0


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left")


def test_what_was_not_written_is_below_no_mark_until_it_is_mended(settings: Settings, memory_log: MemoryLog) -> None:
    """Nothing is marked past a gap, whatever is written after it."""
    mirror, log = Mirror(settings.mirror), promoted()
    writer = MirrorWriter(mirror, most_decisions=1)
    told(writer, log)
    wait_until(lambda: not writer._waiting and log.partition in writer._behind)
    before = len(log.decisions)
    log.tell(losses(0, 20))
    told(writer, log, before)
    wait_until(lambda: mirror.knows(kept(log)))
    assert mirror.marked(log.partition) == 0
    written(memory_log, log)
    mend(mirror, MemoryReader(memory_log), {log.partition: log.state})
    assert names(decisions(settings, "m")) == names(log.decisions)
    writer.led(log.partition)
    before = len(log.decisions)
    log.tell(losses(1, 20))
    told(writer, log, before)
    writer.close()
    assert mirror.marked(log.partition) == log.state.offset


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)
