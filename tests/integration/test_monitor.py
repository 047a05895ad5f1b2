"""The monitor on a real broker: killed and restarted it leaves what an undisturbed one leaves; bad records harm no other."""

from __future__ import annotations

import json
import random
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from streams.adapters.confluent import ConfluentWriter
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.codec import decode_data_plane
from streams.contract import loss_of
from streams.events import UNIT, Labelled, Predicted, WindowCounted
from streams.ports import Outgoing
from streams.topics import LABELS, PREDICTIONS
from tests.core.traffic import Traffic, key_and_value, replaced
from tests.integration.monitor_process import (
    MonitorProcess,
    accepted,
    lake_files,
    letters,
    prepare,
    records,
    whole_in_lake,
    windows,
)
from tests.integration.role_process import free_port, wait_for

ROWS = 3_000
NEVER = "f" * 64


@pytest.fixture
def monitors() -> Iterator[list[MonitorProcess]]:
    """Processes that are ended whatever the test does."""
    running: list[MonitorProcess] = []
    yield running
    for one in running:
        one.close()


@pytest.fixture
def writer(broker: EmbeddedBroker) -> Iterator[ConfluentWriter]:
    """Writes as serving does."""
    made = ConfluentWriter(broker.bootstrap_servers)
    yield made
    made.close(5.0)


def recounted(bootstrap_servers: str, traffic: Traffic) -> Counter[tuple[object, ...]]:
    """A batch count over both topics, by another way: each row once, by its identity."""
    counts: Counter[tuple[object, ...]] = Counter()
    seen = set()
    for topic in (PREDICTIONS, LABELS):
        for message in records(bootstrap_servers, topic):
            try:
                record = decode_data_plane(message.value)
            except Exception:  # noqa: BLE001  other tests leave anything here
                continue
            if getattr(record, "model", "") != traffic.model or (topic, message.key) in seen:
                continue
            seen.add((topic, message.key))
            if isinstance(record, Predicted):
                counts["rows", topic] += 1
                for output in record.outputs:
                    counts["made", int(record.at.timestamp()) // 60, output.release] += 1
            elif isinstance(record, Labelled):
                counts["rows", topic] += 1
                sealed = traffic.sealer.unseal(record.prediction)
                for _, release, value in sealed.outputs:
                    assert value is not None
                    loss = loss_of(traffic.contract.target, value, record.label)
                    counts["n", int(sealed.at.timestamp()) // 60, release] += 1
                    counts["loss", int(sealed.at.timestamp()) // 60, release] += round(loss * UNIT)
    return +counts


def counted(found: list[WindowCounted]) -> Counter[tuple[object, ...]]:
    """The same numbers out of the windows."""
    counts: Counter[tuple[object, ...]] = Counter()
    for window in found:
        counts["rows", window.topic] += window.rows
        for made in window.made:
            counts["made", made.minute, made.release] += made.n
        for loss in window.losses:
            counts["n", loss.minute, loss.release] += loss.n
            counts["loss", loss.minute, loss.release] += loss.loss
    return +counts


def as_served(traffic: Traffic, seq: int, issued: datetime) -> list[Outgoing]:
    """A prediction and its label; every seventh is sent twice."""
    candidate = seq % 3 == 0
    predicted = replaced(traffic.predicted(seq, candidate=candidate), id=traffic.id_of(seq, candidate=candidate, issued=issued))
    labelled = traffic.labelled(seq, float(seq % 5 == 0), candidate=candidate, issued=issued)
    pair = []
    for topic, record in ((PREDICTIONS, predicted), (LABELS, labelled)):
        key, value = key_and_value(record)
        pair.append(Outgoing(topic=topic, key=key, value=value))
    return pair * (2 if seq % 7 == 0 else 1)


def serve(writer: ConfluentWriter, traffic: Traffic, rows: range, issued: datetime) -> None:
    """Send rows over some ticks and lake ticks, whatever the speed of the machine."""
    begun = time.monotonic()
    for number, start in enumerate(range(rows.start, rows.stop, 50)):
        writer.write([record for seq in range(start, start + 50) for record in as_served(traffic, seq, issued)], 30.0)
        wait_for(lambda due=0.05 * number: time.monotonic() >= begun + due, "its time")  # type: ignore[misc]


def test_a_killed_monitor_leaves_what_an_undisturbed_one_leaves(
    broker: EmbeddedBroker, writer: ConfluentWriter, monitors: list[MonitorProcess], tmp_path: Path
) -> None:
    """Killed in mid-file and again in mid-stream: windows by id, lake files byte for byte, and counts equal to a batch recount."""
    servers, issued, rows = broker.bootstrap_servers, datetime.now(UTC), {PREDICTIONS: ROWS, LABELS: ROWS}
    traffic = Traffic(model="killed", epoch=random.Random(1).getrandbits(63), key=b"killed monitors ".ljust(32, b"."))
    first = prepare(tmp_path / "first", servers, traffic, free_port())
    dying = MonitorProcess(first, dies=True)
    monitors.append(dying)
    serve(writer, traffic, range(ROWS // 3), issued)
    assert dying.process.wait(60.0) == -signal.SIGKILL
    assert list(first.lake.rglob(".*.half")) and not lake_files(first), "it was killed in the middle of its first file"
    second = MonitorProcess(first)
    monitors.append(second)
    serve(writer, traffic, range(ROWS // 3, ROWS * 2 // 3), issued)
    assert second.alive()
    second.process.kill()
    second.process.wait(10.0)
    monitors.append(MonitorProcess(first))
    serve(writer, traffic, range(ROWS * 2 // 3, ROWS), issued)
    whole_in_lake(monitors[-1], first, traffic.model, rows)
    monitors[-1].close()
    killed = accepted(windows(servers, traffic.model))

    undisturbed = prepare(tmp_path / "undisturbed", servers, traffic, free_port())
    monitors.append(MonitorProcess(undisturbed))
    whole_in_lake(monitors[-1], undisturbed, traffic.model, rows)
    both = windows(servers, traffic.model)
    assert accepted(both) == killed
    times = Counter(window.id for window in both)
    assert set(times) == {window.id for window in killed} and min(times.values()) >= 2, "the undisturbed one published each, too"
    assert lake_files(undisturbed) == lake_files(first)
    assert counted(killed) == recounted(servers, traffic)
    assert sum(window.repeated for window in killed) == 2 * len(range(0, ROWS, 7))


def bad_predictions(traffic: Traffic, good: Predicted) -> list[tuple[str, bytes, bytes]]:
    """(reason, key, value) of records that cannot be used."""
    key, value = key_and_value(good)
    other = replaced(good, seq=good.seq + 1)
    return [
        ("undecodable", b"x", b"\x00\x01 no json"),
        ("oversized", b"x", b'{"type":"Predicted","id":"' + b"x" * 2 * 2**20 + b'"}'),
        ("wrong_schema", key, value.replace(b'"epoch":', b'"epoch":"one","was":')),
        ("not_finite", key, value.replace(b'"price":', b'"price":NaN,"was":')),
        ("not_finite", key, value.replace(b'"price":', b'"price":-Infinity,"was":')),
        ("not_finite", key, value.replace(b'"price":', b'"price":1e999,"was":')),
        ("unknown_type", b"x", b'{"type":"Guessed"}'),
        ("unknown_model", key, key_and_value(replaced(other, contract=NEVER))[1]),
        ("unknown_model", key, key_and_value(replaced(other, contract="v7"))[1]),
        ("wrong_key", b"another", value),
        ("future", key, key_and_value(replaced(other, at=datetime(2099, 1, 1, tzinfo=UTC)))[1]),
    ]


def bad_labels(traffic: Traffic, good: Labelled, seq: int) -> list[tuple[str, bytes, bytes]]:
    key, value = key_and_value(good)
    forged = Traffic(model=traffic.model, epoch=traffic.epoch, key=b"\x01" * 32).labelled(seq)
    expired = traffic.labelled(seq, issued=datetime.now(UTC) - timedelta(days=31))
    return [
        ("undecodable", b"x", b"\xff"),
        ("forged", *key_and_value(forged)),
        ("expired", *key_and_value(expired)),
        ("bad_label", *key_and_value(msgspec.structs.replace(good, label="maybe"))),
        ("wrong_key", b"another", value),
        ("not_finite", key, value.replace(b'"label":1.0', b'"label":NaN')),
        ("wrong_schema", key, value.replace(b'"label":1.0', b'"label":[1]')),
    ]


def test_bad_records_are_kept_with_their_reason_and_harm_no_other(
    broker: EmbeddedBroker, monitors: list[MonitorProcess], tmp_path: Path
) -> None:
    """Each bad record stands between good ones of its partition: it is a dead letter, they are counted; repeats are dropped."""
    servers, issued = broker.bootstrap_servers, datetime.now(UTC)
    traffic = Traffic(model="bad-records", epoch=random.Random(2).getrandbits(63), key=b"bad records".ljust(32, b"."))
    port = free_port()
    settings = prepare(tmp_path / "data", servers, traffic, port)
    producer = Producer({"bootstrap.servers": servers, "compression.type": "gzip", "message.max.bytes": 8 * 2**20})
    expected: dict[tuple[str, int, int], str] = {}
    good = Counter({PREDICTIONS: 0, LABELS: 0})

    def send(topic: str, key: bytes, value: bytes, reason: str = "") -> None:
        def done(error: object, message: object) -> None:
            assert error is None, error
            if reason:
                expected[(topic, 6, message.offset())] = reason  # type: ignore[attr-defined]

        producer.produce(topic, key=key, value=value, partition=6, on_delivery=done)
        producer.flush(10.0)

    def send_good(topic: str) -> None:
        seq = good[topic]
        good[topic] += 1
        record = traffic.predicted(seq) if topic == PREDICTIONS else traffic.labelled(seq, issued=issued)
        send(topic, *key_and_value(record))

    probe, label = traffic.predicted(9_000), traffic.labelled(9_000, issued=issued)
    for topic, bad in ((PREDICTIONS, bad_predictions(traffic, probe)), (LABELS, bad_labels(traffic, label, 9_000))):
        for reason, key, value in bad:
            send_good(topic)
            send(topic, key, value, reason)
        send_good(topic)
        for _ in range(3):  # repeats of the first row
            send(topic, *key_and_value(traffic.predicted(0) if topic == PREDICTIONS else traffic.labelled(0, issued=issued)))
    monitors.append(MonitorProcess(settings))
    whole_in_lake(monitors[-1], settings, traffic.model, dict(good))
    places = {(PREDICTIONS, 6), (LABELS, 6)}
    found = letters(servers, places)
    assert {place: found[place].reason for place in expected} == expected
    assert all(found[place].payload for place in expected)
    oversized = next(letter for place, letter in found.items() if expected.get(place) == "oversized")
    assert len(oversized.payload) == 64 * 1024 and oversized.payload_bytes > 2 * 2**20
    mine = accepted(windows(servers, traffic.model))
    assert Counter({topic: sum(w.rows for w in mine if w.topic == topic) for topic in good}) == good
    assert {topic: sum(w.repeated for w in mine if w.topic == topic) for topic in good} == {PREDICTIONS: 3, LABELS: 3}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as answer:
        metrics = answer.read().decode()
    for topic, reason in {(place[0], reason) for place, reason in expected.items()}:
        assert f'homeostat_dead_letters_total{{reason="{reason}",role="monitor",topic="{topic}"}}' in metrics
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/position", timeout=5.0) as answer:
        position = json.load(answer)
    assert position["labels-6"] > max(place[2] for place in expected if place[0] == LABELS) and len(position) == 16
