"""The agents' desk on an in-memory log: whatever is brought, and however often, the same records come out."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from homeostat.patience import StoppedError
from streams import topics
from streams.adapters.memory_log import MemoryLog
from streams.codec import encode_json
from streams.events import LossesGathered, PolicySet
from streams.ports import LogUnavailable, Outgoing
from tests.contract.agents_desk import Desk, desk, outgoing, registered, scenario
from tests.core.window_log import START, Windows, known


@pytest.fixture
def ready(tmp_path: Path, memory_log: MemoryLog) -> Desk:
    """Every window of the scenario in the log, nothing folded."""
    one = desk(tmp_path, memory_log)
    release, windows = scenario("m", one.store)
    one.write(registered("m", release), *map(outgoing, windows))
    return one


@pytest.fixture
def expected(tmp_path: Path) -> list[bytes]:
    """What comes out when every window is brought once, in order."""
    one = desk(tmp_path, MemoryLog())
    release, windows = scenario("m", one.store)
    one.write(registered("m", release), *map(outgoing, windows))
    folder = one.folder()
    for message in one.messages():
        folder.handle(message)
    told = one.told()
    assert {type(record).__name__ for record in told} == {"LossesGathered", "EvidenceGathered", "DriftDetected", "DetectorsArmed"}
    return [encode_json(record) for record in told]


def distinct(one: Desk) -> list[bytes]:
    """Records by id, in order; the same id must mean the same record."""
    records: dict[str, bytes] = {}
    for record in one.told():
        assert records.setdefault(record.id, encode_json(record)) == encode_json(record)
    return list(records.values())


def test_messages_brought_twice_late_or_not_at_all_change_nothing(ready: Desk, expected: list[bytes]) -> None:
    """Every third message is brought: what lies between is read; older ones are dropped."""
    folder, messages = ready.folder(), ready.messages()
    for place in [*range(0, len(messages), 3), 4, 0, len(messages) - 1]:
        folder.handle(messages[place])
    assert [encode_json(record) for record in ready.told()] == expected


@pytest.mark.parametrize("cut_after", [1, 30, 77])
@pytest.mark.parametrize("snapshot", [True, False])
def test_a_desk_that_begins_again_tells_the_same(ready: Desk, expected: list[bytes], cut_after: int, snapshot: bool) -> None:
    """After a clean stop, or after a kill before any snapshot, the next desk goes on, and repeats only what is equal."""
    first, messages = ready.folder(), ready.messages()
    for message in messages[:cut_after]:
        first.handle(message)
    if snapshot:
        first.close()
    before = len(ready.told())
    second = ready.folder()
    second.restore({messages[0].partition: cut_after})
    assert len(ready.told()) == (before if snapshot else 2 * before)
    assert second.position()["windows"] == {str(messages[0].partition): cut_after}
    for message in messages[cut_after:]:
        second.handle(message)
    assert distinct(ready) == expected


def test_outputs_are_written_before_the_state_moves(ready: Desk, expected: list[bytes]) -> None:
    """While the broker is away nothing is folded; when it is back, everything is."""
    folder, messages = ready.folder(), ready.messages()
    folder.restore({messages[0].partition: 0})
    for message in messages[:20]:
        folder.handle(message)
    ready.log.go_away()
    back = threading.Timer(0.4, ready.log.come_back)
    back.start()
    for message in messages[20:]:
        folder.handle(message)
    back.join()
    assert [encode_json(record) for record in ready.told()] == expected


def test_the_end_of_the_log_is_asked_and_not_guessed(ready: Desk) -> None:
    """While the broker is away its end is unknown."""
    folder = ready.folder()
    ready.log.go_away()
    with pytest.raises(LogUnavailable):
        folder.ends([0])


def test_rubbish_and_wrong_keys_become_dead_letters_and_harm_no_neighbour(
    ready: Desk, expected: list[bytes], tmp_path: Path
) -> None:
    """Two bad records, two letters with their reasons, and everything else as if they were not there."""
    messages = ready.messages()
    place = messages[0].partition
    other = desk(tmp_path, MemoryLog())
    other.write(
        registered("m", scenario("m", other.store)[0]),
        *(Outgoing(topic=topics.WINDOWS, key=one.key, value=one.value) for one in messages[:3]),
        Outgoing(topic=topics.WINDOWS, key=b"m", value=b"\xc1 rubbish", partition=place),
        Outgoing(topic=topics.WINDOWS, key=b"other", value=messages[3].value, partition=place),
        *(Outgoing(topic=topics.WINDOWS, key=one.key, value=one.value) for one in messages[3:]),
    )
    folder = other.folder()
    for message in other.messages():
        folder.handle(message)
    assert [encode_json(record) for record in other.told()] == expected
    assert [(letter.reason, letter.offset) for letter in other.letters()] == [("undecodable", 3), ("wrong_key", 4)]


def test_a_hole_stops_its_model_with_one_dead_letter(tmp_path: Path, memory_log: MemoryLog) -> None:
    """Nothing behind the hole is counted; it is alarmed for each window and written down once."""
    one, cut = desk(tmp_path, memory_log), Windows()
    first, _missing, third, fourth = (cut.predictions(0.1, 2) for _ in range(4))
    one.write(registered("m", "r1"), *map(outgoing, (first, third, fourth)))
    folder = one.folder()
    for message in one.messages():
        folder.handle(message)
    assert folder.position()["rows"] == {"m": {"predictions": 2, "labels": 0}}
    assert folder.position()["stopped"] == ["m"]
    assert [letter.reason for letter in one.letters()] == ["hole"]
    assert one.meters.registry.get_sample_value("homeostat_window_holes_total", {"model": "m"}) == 2


def test_windows_wait_for_their_models_policy_until_stopped(tmp_path: Path, memory_log: MemoryLog) -> None:
    """Nothing is guessed and nothing skipped: the window is folded once the registration is there."""
    one, cut = desk(tmp_path, memory_log), Windows()
    one.write(outgoing(cut.predictions(0.1, 2)))
    (message,) = one.messages()
    stopping = threading.Timer(0.3, one.stop.set)
    stopping.start()
    with pytest.raises(StoppedError):
        one.folder().handle(message)
    stopping.join()
    one.stop.clear()
    late = threading.Timer(0.3, one.write, [registered("m", "r1")])
    late.start()
    folder = one.folder()
    folder.handle(message)
    late.join()
    assert folder.position()["rows"] == {"m": {"predictions": 2, "labels": 0}}


def test_a_policy_holds_from_where_the_logs_clock_says(tmp_path: Path) -> None:
    """Windows the broker took within two seconds of a new policy still fall under the old one, whenever they are read."""
    now = [START]
    one, cut = desk(tmp_path, MemoryLog(clock=lambda: now[0])), Windows()
    one.write(registered("m", "r1"))
    now[0] += timedelta(seconds=60)
    staleness = msgspec.structs.replace(known().policy.staleness, maturity=2 * known().policy.staleness.period)
    later = msgspec.structs.replace(known().policy, staleness=staleness)
    change = PolicySet(id="p", at=START, model="m", actor="test", reason="", policy=later)
    one.write(Outgoing(topic=topics.CONTROL, key=b"m", value=encode_json(change)))
    one.write(outgoing(cut.predictions(0.1, 1)), outgoing(cut.labels(0.1, 1, at=1.0)))
    now[0] += timedelta(seconds=3)
    one.write(outgoing(cut.predictions(1.1, 1)), outgoing(cut.labels(1.1, 1, at=2.0)))
    for _ in range(2):
        folder = one.folder()
        for message in one.messages():
            folder.handle(message)
        told = [record for record in one.told() if isinstance(record, LossesGathered)]
        assert {record.period for record in told} == {int(START.timestamp()) // 3600}
