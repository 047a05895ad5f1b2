"""Membership in a group on the real broker: shares that cover everything once, handed on within a bound."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.kafka_python_group import HEARTBEAT_S, SESSION_S, KafkaPythonGroup, Share
from streams.adapters.topic_admin import create_topics
from streams.topics import Topic
from tests.contract.log_harness import new_topic

JOINED_S = 20.0
HANDED_ON_S = SESSION_S / 2
"""Sooner than any silence is noticed: the others were told."""


class Member:
    """One member, kept in its group by a thread as a controller's loop does."""

    def __init__(self, broker: EmbeddedBroker, topic: Topic, group: str, name: str) -> None:
        self.client = KafkaPythonGroup(broker.bootstrap_servers, group=group, topic=topic.name, member=name)
        self.share: Share | None = None
        self._silent = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._silent.wait(0.01):
            self.share = self.client.share()

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset() if self.share is None else self.share.partitions

    def end(self, *, leaving: bool) -> None:
        """Leave, or fall silent as a killed process does."""
        if self._silent.is_set():
            return
        self._silent.set()
        self._thread.join(10.0)
        if leaving:
            self.client.leave()
        self.client.close()


Join = Callable[[str], Member]


@pytest.fixture
def join(broker: EmbeddedBroker) -> Iterator[Join]:
    """Members of one group of this test's own, on a topic of 8 partitions."""
    topic, group = new_topic(partitions=8), f"group-{uuid.uuid4().hex[:8]}"
    create_topics(broker.bootstrap_servers, topics=[topic])
    members: list[Member] = []

    def joined(name: str) -> Member:
        members.append(Member(broker, topic, group, name))
        return members[-1]

    yield joined
    for member in members:
        member.end(leaving=False)


def eventually(what: Callable[[], object], timeout_s: float = JOINED_S) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)


def test_one_member_has_everything_and_two_share_it(join: Join) -> None:
    first = join("a")
    eventually(lambda: len(first.partitions) == 8)
    second = join("b")
    eventually(lambda: len(first.partitions) == len(second.partitions) == 4)
    assert first.partitions | second.partitions == frozenset(range(8))
    assert first.share is not None
    assert first.share.membership == 0


def test_who_leaves_hands_over_without_waiting_for_silence(join: Join) -> None:
    first, second = join("a"), join("b")
    eventually(lambda: len(first.partitions) == len(second.partitions) == 4)
    first.end(leaving=True)
    eventually(lambda: len(second.partitions) == 8, HANDED_ON_S)


def test_who_falls_silent_loses_its_share_to_the_others(join: Join) -> None:
    first, second = join("a"), join("b")
    eventually(lambda: len(first.partitions) == len(second.partitions) == 4)
    first.end(leaving=False)
    eventually(lambda: len(second.partitions) == 8, SESSION_S + HEARTBEAT_S + 2.0)


def test_who_comes_back_under_its_name_has_its_share_back_at_once(join: Join) -> None:
    first, second = join("a"), join("b")
    eventually(lambda: len(first.partitions) == len(second.partitions) == 4)
    before = first.partitions
    first.end(leaving=False)
    again = join("a")
    eventually(lambda: again.partitions == before, HANDED_ON_S)
    assert len(second.partitions) == 4


def test_who_was_given_up_knows_that_others_may_have_had_its_share(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that sleeps for longer than a session comes back as a new one, and says so."""
    first, second = join("a"), join("b")
    eventually(lambda: len(first.partitions) == len(second.partitions) == 4)
    # The client's own thread is what a stopped process would not have: its heartbeats are held back.
    coordinator = first.client._consumer._coordinator
    held, real = threading.Event(), coordinator._send_heartbeat_request

    async def unless_held() -> object:
        while held.is_set():
            await coordinator._net.sleep(0.05)
        return await real()

    monkeypatch.setattr(coordinator, "_send_heartbeat_request", unless_held)
    held.set()
    eventually(lambda: len(second.partitions) == 8)
    assert first.share is None, "it still believes in its share, which another has"
    held.clear()
    eventually(lambda: len(first.partitions) == len(second.partitions) == 4)
    assert first.share is not None
    assert first.share.membership == 1


def test_a_second_process_of_the_same_name_puts_the_first_out(join: Join) -> None:
    first = join("a")
    eventually(lambda: len(first.partitions) == 8)
    second = join("a")
    eventually(lambda: len(second.partitions) == 8)
    eventually(lambda: first.share is None)
    assert len(second.partitions) == 8
