"""Two controllers on the real broker: they share `control`, and one takes over when the other dies or hangs."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import topics
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.events import DriftDetected, RollBack, derived_id
from streams.partitioner import partition_of
from tests.core.control_log import EVENT_T0, evidence, registered
from tests.integration.control_desk import Desk
from tests.integration.role_process import RoleProcess, wait_for

PARTITIONS = topics.named(topics.CONTROL).partitions
TAKEN_OVER_S = 10.0
HANDED_OVER_S = 5.0
WRITE_EVERY_S = 0.05


@pytest.fixture
def desk(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(broker.bootstrap_servers, tmp_path)
    yield desk
    desk.close()


def position(role: RoleProcess) -> dict[str, dict[str, object]]:
    """What a controller says of itself; nothing while it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", role.settings.control_port, timeout=1.0)
    try:
        connection.request("GET", "/position")
        document: dict[str, dict[str, object]] = json.loads(connection.getresponse().read())
        return document
    except OSError:
        return {}
    finally:
        connection.close()


def shared(role: RoleProcess) -> set[int]:
    """Partitions that are a controller's."""
    return {int(partition) for partition in position(role).get("control", {})}


def both_share(first: RoleProcess, second: RoleProcess) -> None:
    """Wait until the two have half each."""
    wait_for(lambda: len(shared(first)) == len(shared(second)) == PARTITIONS // 2, "two controllers with half of control each")
    assert shared(first) | shared(second) == set(range(PARTITIONS))


def drift(model: str, number: int) -> DriftDetected:
    """A record that is decided on and changes nothing else."""
    return DriftDetected(
        id=derived_id(model, "drift", number),
        at=EVENT_T0,
        model=model,
        actor="test",
        reason="traffic",
        release="first",
        feature="x",
        statistic=1.0,
        threshold=0.5,
        since=EVENT_T0,
        size=1.0,
    )


class Traffic:
    """One record after the other on the desk's model, each to be answered by one decision, while controllers come and go."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stop = threading.Event()
        self.ids: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(WRITE_EVERY_S):
            record = drift(self._desk.model, len(self.ids))
            self._desk.tell(record)
            self.ids.append(record.id)

    def stop(self) -> list[str]:
        """The ids of all that was written."""
        self._stop.set()
        self._thread.join(30.0)
        return self.ids


def test_two_controllers_share_and_one_that_is_asked_to_stop_hands_over_at_once(desk: Desk) -> None:
    first, second = desk.controller(), desk.standby()
    both_share(first, second)
    desk.tell(registered(desk.model))
    desk.wait_for_kind("Registered")
    home = partition_of(desk.model.encode(), PARTITIONS)
    leader, other = (first, second) if home in shared(first) else (second, first)
    assert desk.model in position(leader)["generations"]
    assert desk.model not in position(other)["generations"]
    leader.signal(signal.SIGTERM)
    assert leader.wait_end() == 0
    wait_for(lambda: len(shared(other)) == PARTITIONS, "the other has all of it", HANDED_OVER_S)
    wait_for(lambda: desk.model in position(other)["generations"], "the model is led again", HANDED_OVER_S)


def test_a_controller_that_is_killed_and_started_again_has_its_share_back_and_the_other_keeps_its_own(desk: Desk) -> None:
    first, second = desk.controller(), desk.standby()
    both_share(first, second)
    before = shared(first), shared(second)
    first.signal(signal.SIGKILL)
    first.wait_end()
    again = desk.controller()
    assert again.settings.control_port == first.settings.control_port
    wait_for(lambda: shared(again) == before[0], "the share is back")
    assert shared(second) == before[1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_standby_takes_over_within_ten_seconds_while_records_come(desk: Desk, how: signal.Signals) -> None:
    """The first is killed, or hangs and wakes again, one record before a promotion: it is promoted once, by the other."""
    first, second = desk.controller(), desk.standby()
    both_share(first, second)
    desk.to_last_step()
    home = partition_of(desk.model.encode(), PARTITIONS)
    leader, other = (first, second) if home in shared(first) else (second, first)
    traffic = Traffic(desk)
    wait_for(lambda: len(traffic.ids) > 5, "records are written")
    struck = time.monotonic()
    leader.signal(how)
    desk.tell(evidence(desk.routes()[-1], 100, better=5, worse=2, answered=200, model=desk.model))
    wait_for(lambda: "Promoted" in desk.kinds(), "the promotion, by the other", TAKEN_OVER_S)
    print(f"taken over {time.monotonic() - struck:.1f} s after {how.name}")
    wait_for(lambda: len(shared(other)) == PARTITIONS, "the other has all of it", TAKEN_OVER_S)
    if how is signal.SIGSTOP:
        woken(desk, leader, other)
    desk.tell(RollBack(id=f"back-{desk.model}", at=EVENT_T0, model=desk.model, actor="ada", reason="to see another route"))
    desk.wait_for_kind("RolledBack")
    written = traffic.stop()
    wait_for(lambda: set(written) <= {decision.cause for decision in desk.decisions()}, "every record is decided on")
    nothing_stands_twice(desk)
    assert desk.kinds().count("Promoted") == 1
    assert desk.replayed().differing == ()


def woken(desk: Desk, zombie: RoleProcess, other: RoleProcess) -> None:
    """It ends, or steps back and shares again; what the other led meanwhile it never touches."""
    seen = len(desk.kinds())
    zombie.signal(signal.SIGCONT)

    def settled() -> bool:
        ended = zombie.process.poll() is not None
        return ended or (bool(shared(zombie)) and shared(zombie).isdisjoint(shared(other)))

    wait_for(settled, "the zombie ends or steps back")
    wait_for(lambda: len(desk.kinds()) > seen, "records are still decided on")


def nothing_stands_twice(desk: Desk) -> None:
    """Neither a decision nor a route, and generations rise strictly."""
    ids = Counter(decision.id for decision in desk.decisions())
    assert [one for one, count in ids.items() if count > 1] == []
    generations = [(route.incarnation, route.generation) for route in desk.routes()]
    assert generations == sorted(set(generations))
