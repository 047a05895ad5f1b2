"""What a role shows of itself: its metrics, its health, its position, on loopback only."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams import metric_names
from streams.adapters.loopback import LOOPBACK, is_free
from streams.adapters.prometheus import Meters
from streams.adapters.status_server import StatusServer


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def server(meters: Meters) -> Iterator[StatusServer]:
    running = StatusServer(0, meters.registry, lambda: {"predictions-3": 17})
    running.start()
    yield running
    running.stop()


def get(server: StatusServer, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{server.port}{path}", timeout=5.0) as answer:
        body: bytes = answer.read()
    return body


def test_the_position_and_the_health_are_told(server: StatusServer) -> None:
    assert json.loads(get(server, "/position")) == {"predictions-3": 17}
    assert get(server, "/healthz") == b"ok\n"


def test_an_unknown_path_is_not_found_and_names_those_there_are(server: StatusServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(server, "/positions")
    assert refused.value.code == 404
    assert b"/position" in refused.value.read()


def test_metrics_carry_their_declared_name_help_and_labels(server: StatusServer, meters: Meters) -> None:
    meters.counter(metric_names.RECORDS_READ, role="monitor", topic="labels").inc(3)
    meters.gauge(metric_names.LAG_RECORDS, role="monitor", topic="labels").set(5)
    meters.histogram(metric_names.RUN_SECONDS, model="m").observe(0.2)
    meters.counter(metric_names.WORKERS_LOST).inc()
    families = {family.name: family for family in text_string_to_metric_families(get(server, "/metrics").decode())}
    read = families["homeostat_records_read"]
    assert read.documentation == metric_names.RECORDS_READ.help
    assert {(sample.name, sample.labels["topic"], sample.value) for sample in read.samples if sample.name.endswith("_total")} == {
        ("homeostat_records_read_total", "labels", 3.0)
    }
    assert families["homeostat_lag_records"].samples[0].value == 5.0
    assert any(sample.name == "homeostat_run_seconds_bucket" for sample in families["homeostat_run_seconds"].samples)
    assert any(sample.value == 1.0 for sample in families["homeostat_workers_lost"].samples)


def test_a_metric_asked_for_otherwise_than_declared_is_a_programming_error(meters: Meters) -> None:
    with pytest.raises(TypeError, match="has the labels"):
        meters.counter(metric_names.RECORDS_READ, role="monitor")
    with pytest.raises(TypeError, match="declared a counter"):
        meters.gauge(metric_names.RECORDS_READ, role="monitor", topic="labels")


@pytest.mark.parametrize("metric", metric_names.ALL, ids=lambda metric: metric.name)
def test_every_declared_metric_can_be_made(metric: metric_names.Metric, meters: Meters) -> None:
    labels = dict.fromkeys(metric.labels, "x")
    getattr(meters, metric.kind)(metric, **labels)
    assert metric.name.removesuffix("_total").encode() in meters.exposition()


def test_it_listens_on_loopback_only_and_lets_its_port_go(meters: Meters) -> None:
    server = StatusServer(0, meters.registry, dict)
    assert server._server.server_address[0] == LOOPBACK
    server.start()
    port = server.port
    assert not is_free(port)
    server.stop()
    assert is_free(port)


def test_a_silent_client_does_not_keep_others_waiting(server: StatusServer) -> None:
    with socket.create_connection((LOOPBACK, server.port), 5.0):
        assert get(server, "/healthz") == b"ok\n"
