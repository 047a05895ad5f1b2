"""The embedded broker: only what is pinned runs, it needs nothing of the machine, and it comes back with its data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from streams.adapters import kafka_jars, topic_admin
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.confluent_client import admin_client
from streams.adapters.embedded_broker import BrokerFailed, EmbeddedBroker
from streams.adapters.kafka_jars import JarRefused
from streams.adapters.loopback import free_port, is_free
from streams.ports import Outgoing
from streams.topics import CONTROL, TOPICS, Topic
from tests.contract.log_harness import read


@pytest.fixture(scope="module")
def jars() -> Path:
    """The verified jars of this user's cache."""
    return kafka_jars.class_path()[0].parent


def copied(jars: Path, to: Path) -> Path:
    """A copy that a test may spoil; the shared cache is left alone."""
    to.mkdir()
    for pin in kafka_jars.pins():
        os.link(jars / pin.file_name, to / pin.file_name) if jars.stat().st_dev == to.stat().st_dev else shutil.copy(
            jars / pin.file_name, to / pin.file_name
        )
    return to


def flip_one_bit(jar: Path) -> None:
    """In a file of its own, not in the one it is linked to."""
    content = bytearray(jar.read_bytes())
    content[len(content) // 2] ^= 1
    jar.unlink()
    jar.write_bytes(content)


def test_a_jar_with_one_bit_flipped_is_refused_before_anything_starts(jars: Path, tmp_path: Path) -> None:
    spoiled = copied(jars, tmp_path / "jars")
    victim = spoiled / "kafka-clients-4.4.0.jar"
    flip_one_bit(victim)
    broker = EmbeddedBroker(tmp_path / "broker", jars=spoiled)
    with pytest.raises(JarRefused, match=r"kafka-clients-4\.4\.0\.jar is not the pinned .* delete the file"):
        broker.start(timeout_s=30.0)
    assert not broker.is_alive()
    assert not (tmp_path / "broker").exists()


def test_the_check_is_made_at_each_start_and_not_only_the_first(jars: Path, tmp_path: Path) -> None:
    spoiled = copied(jars, tmp_path / "jars")
    assert len(kafka_jars.class_path(spoiled)) == len(kafka_jars.pins())
    flip_one_bit(spoiled / "re2j-1.8.jar")
    with pytest.raises(JarRefused):
        kafka_jars.class_path(spoiled)


def test_a_jar_that_nobody_pinned_is_not_on_the_class_path(jars: Path, tmp_path: Path) -> None:
    grown = copied(jars, tmp_path / "jars")
    (grown / "a-guest-1.0.jar").write_bytes(b"PK")
    assert {path.name for path in kafka_jars.class_path(grown)} == {pin.file_name for pin in kafka_jars.pins()}


def test_a_download_that_is_not_what_is_pinned_never_reaches_the_class_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(scratch: Path, pin: kafka_jars.Pin) -> Path:
        path = scratch / pin.file_name
        path.write_bytes(b"not the jar")
        return path

    monkeypatch.setattr(kafka_jars, "_download", another)
    with pytest.raises(JarRefused):
        kafka_jars.class_path(tmp_path / "jars")
    assert list((tmp_path / "jars").iterdir()) == []


def test_a_stopped_and_a_killed_broker_come_back_on_their_port_with_their_data(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker")
    topic = Topic(name="kept", partitions=1, retention_bytes=-1, retention=None, max_record_bytes=1_000)
    port = broker.port
    try:
        broker.start(timeout_s=120.0)
        topic_admin.create_topics(broker.bootstrap_servers, topics=[topic])
        for number, end in enumerate((EmbeddedBroker.stop, EmbeddedBroker.kill)):
            writer = ConfluentWriter(broker.bootstrap_servers)
            writer.write([Outgoing(topic="kept", key=b"k", value=str(number).encode())], 15.0)
            writer.close(5.0)
            end(broker)
            assert not broker.is_alive()
            assert is_free(port)
            again = EmbeddedBroker(tmp_path / "broker", port=port)
            again.start(timeout_s=120.0)
            broker = again
            assert broker.port == port
        reader = ConfluentReader(broker.bootstrap_servers)
        reader.assign({("kept", 0): -2})
        assert [message.value for message in read(reader, 2)] == [b"0", b"1"]
        reader.close()
        assert (broker.logs / "broker.log").read_text().count("Kafka Server started") == 3
    finally:
        broker.stop()


ALONE = """
import sys
from pathlib import Path
from streams.adapters.confluent_client import nodes_of
from streams.adapters.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker(Path(sys.argv[1]))
broker.start(timeout_s=100.0)
assert nodes_of(broker.bootstrap_servers, 5.0) == 1
print(broker.pid, flush=True)
if sys.argv[2] == "stop":
    broker.stop()
else:
    sys.stdin.read()
"""


def alone(directory: Path, what: str) -> subprocess.Popen[str]:
    """A Python process that starts a broker, with an environment that has no PATH and a Java option that would stop it."""
    environment = {"PATH": "", "HOME": str(Path.home()), "PYTHONPATH": str(Path.cwd()), "JAVA_TOOL_OPTIONS": "-Xmx1k"}
    return subprocess.Popen(
        [sys.executable, "-c", ALONE, str(directory), what],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until_gone(pid: int) -> None:
    """Until the process ended (or is only waiting to be reaped)."""
    deadline = time.monotonic() + 20.0
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_it_runs_without_a_path_and_an_orphan_is_ended_by_the_next_start(tmp_path: Path) -> None:
    """No program of the machine is used; and the broker of an owner that was killed does not lock the directory for ever."""
    first = alone(tmp_path / "broker", "stay")
    try:
        assert first.stdout is not None
        orphan = int(first.stdout.readline())
        with pytest.raises(BrokerFailed, match="in use by process"):
            EmbeddedBroker(tmp_path / "broker").start(timeout_s=30.0)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=20.0)
    assert psutil.pid_exists(orphan)
    second = alone(tmp_path / "broker", "stop")
    output, _ = second.communicate(timeout=120.0)
    assert second.returncode == 0
    wait_until_gone(orphan)
    wait_until_gone(int(output))


def test_a_port_that_is_taken_is_said_to_be_and_nothing_is_started(broker: EmbeddedBroker, tmp_path: Path) -> None:
    other = EmbeddedBroker(tmp_path / "broker", port=broker.port)
    with pytest.raises(BrokerFailed, match=f"port {broker.port} is taken"):
        other.start(timeout_s=30.0)
    assert not other.is_alive()


def test_a_broker_that_cannot_start_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    data = tmp_path / "broker" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=7\n")
    broker = EmbeddedBroker(tmp_path / "broker")
    with pytest.raises(BrokerFailed, match=r"ended with exit status .* See .*broker.log"):
        broker.start(timeout_s=60.0)
    assert not broker.is_alive()
    assert is_free(broker.port)


def test_free_ports_lie_below_the_range_that_connections_are_given() -> None:
    assert all(15_000 <= free_port() < 32_000 for _ in range(20))


def test_topics_are_made_as_declared_and_making_them_again_changes_nothing(broker: EmbeddedBroker) -> None:
    topic_admin.create_topics(broker.bootstrap_servers)
    seen = admin_client(broker.bootstrap_servers).list_topics(timeout=10.0).topics
    assert {topic.name: len(seen[topic.name].partitions) for topic in TOPICS} == {
        topic.name: topic.partitions for topic in TOPICS
    }


@pytest.mark.parametrize(
    ("partitions", "clock", "message"),
    [
        (2, "LogAppendTime", "has 2 partitions, wanted 3"),
        (3, "CreateTime", "message.timestamp.type=CreateTime, wanted LogAppendTime"),
    ],
)
def test_a_topic_that_is_not_as_declared_is_refused(broker: EmbeddedBroker, partitions: int, clock: str, message: str) -> None:
    from confluent_kafka.admin import NewTopic

    declared = Topic(name=f"odd-{partitions}-{clock}", partitions=3, retention_bytes=-1, retention=None, max_record_bytes=1_000)
    admin = admin_client(broker.bootstrap_servers)
    made = admin.create_topics([NewTopic(declared.name, partitions, 1, config={"message.timestamp.type": clock})])
    made[declared.name].result(10.0)
    with pytest.raises(topic_admin.TopicMismatch, match=message):
        topic_admin.create_topics(broker.bootstrap_servers, topics=[declared])
    assert CONTROL in admin.list_topics(timeout=10.0).topics
