"""Serving as a process on the real broker: what it answers, what it refuses, what reaches the log, and what it survives."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from serving.circuit import FAILURES_TO_OPEN
from streams import topics
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.events import ModelRegistered, PolicySet
from streams.partitioner import partition_of
from streams.policy import Policy
from streams.prediction_id import Sealed
from tests.integration.role_process import wait_for
from tests.integration.serving_desk import NOWHERE, ServingDesk
from tests.integration.small_release import put_release, row

OUTAGE_S = 10.0
ROW = row(0)
FAILING = """
import time
from streams.adapters.xgboost_predictor import XGBoostPredictor

sound = XGBoostPredictor.predict

def predict(self, rows):
    fails = self._booster.attr("fails")
    if fails == "raises":
        raise MemoryError("no room for the rows")
    if fails == "hangs":
        time.sleep(60)
    return sound(self, rows[1:] if fails == "too_few" else rows)

XGBoostPredictor.predict = predict
"""
"""`sitecustomize` of a serving process whose predictors do what the attribute `fails` of their artefact says."""
FAILURES = {"nan": "non_finite", "unreadable": "exception", "raises": "exception", "too_few": "wrong_shape"}
"""What stands in the log for each way in which a candidate fails."""


@pytest.fixture(scope="module")
def desk(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingDesk]:
    """One serving process for the tests that do not harm it. It waits long for arms: this machine may be busy."""
    serving = ServingDesk(broker.bootstrap_servers, tmp_path_factory.mktemp("serving"), shadow_wait_ms=500.0, deadline_ms=2_000.0)
    try:
        serving.register()
        serving.start()
        serving.publish_and_wait(1)
        yield serving
    finally:
        serving.close()


def logged(desk: ServingDesk, ids: set[str]) -> dict[str, Any]:
    """The records of those predictions, once all of them are there."""
    found: dict[str, Any] = {}

    def all_there() -> bool:
        found.update({record.id: record for record in desk.predictions() if record.id in ids})
        return found.keys() == ids

    wait_for(all_there, f"{len(ids)} predictions are in the log")
    return found


def test_every_row_answered_stands_in_the_log_under_an_id_that_unseals(desk: ServingDesk) -> None:
    times = ["1996-05-07T00:00:00Z", "1996-05-07T00:30:00Z"]
    answered = desk.answered(row(1), row(2) | {"nswprice": 99.0}, at=times, entity=["customer-1", None])
    records = logged(desk, {one["id"] for one in answered})
    assert [one["flags"] for one in answered] == [[], ["nswprice:range"]]
    for index, one in enumerate(answered):
        record, sealed = records[one["id"]], desk.sealer.unseal(one["id"])
        assert record.at == sealed.at == datetime.fromisoformat(times[index])
        assert (record.epoch, record.seq, record.release) == (sealed.epoch, sealed.seq, sealed.release)
        assert sealed.release == sealed.champion == desk.champion
        assert [(output.arm, output.release, output.value) for output in record.outputs] == list(sealed.outputs)
        assert one["value"] == record.outputs[0].value
        assert one["class"] in {"0", "1"} and one["probability"] == record.outputs[0].confidence
        assert list(record.flags) == one["flags"]
    first, second = (records[one["id"]] for one in answered)
    assert first.features == row(1)
    assert first.entity and "customer" not in first.entity and not second.entity


def test_a_prediction_and_its_label_lie_on_the_partition_of_its_id(desk: ServingDesk) -> None:
    [one] = desk.answered(ROW)
    assert desk.label({"id": one["id"], "label": 1}).json() == {"accepted": 1}
    logged(desk, {one["id"]})
    for topic in (topics.PREDICTIONS, topics.LABELS):
        [message] = [message for message in desk.messages(topic) if message.key.decode() == one["id"]]
        assert message.partition == partition_of(message.key, topics.named(topic).partitions)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"rows": [ROW, ROW | {"nswprice": "high"}]}, 422, "rows[1].nswprice"),
        ({"rows": [ROW, ROW | {"nswprice": float("nan")}]}, 422, "rows[1].nswprice"),
        ({"rows": [ROW, ROW | {"nswprize": 1.0}]}, 422, "rows[1].nswprize"),
        ({"rows": [ROW], "at": [(datetime.now(UTC) + timedelta(days=365)).isoformat()]}, 422, "at[0]"),
        ({"rows": [ROW] * 1_001}, 413, "rows"),
        ({"rows": 5}, 422, "rows"),
    ],
    ids=["text", "nan", "unknown", "future", "many", "number"],
)
def test_a_bad_request_names_its_field_and_leaves_its_neighbours_alone(
    desk: ServingDesk, body: dict[str, object], status: int, field: str
) -> None:
    results: list[httpx.Response] = []
    good = threading.Thread(target=lambda: results.extend(desk.predict({"rows": [ROW]}) for _ in range(20)))
    good.start()
    response = desk.predict(None, content=json.dumps(body), headers={"content-type": "application/json"})
    good.join()
    assert response.status_code == status
    assert response.json()["error"]["field"] == field
    assert {result.status_code for result in results} == {200}


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status", "code"),
    [
        ("POST", "/v1/models/nobody:predict", b'{"rows": [{}]}', "application/json", 404, "unknown_model"),
        ("GET", "/v1/models/nobody", b"", "", 404, "unknown_model"),
        ("GET", "/v1/models/{model}:predict", b"", "", 405, "wrong_method"),
        ("POST", "/v1/models/{model}", b"{}", "application/json", 405, "wrong_method"),
        ("GET", "/v1/labels", b"", "", 405, "wrong_method"),
        ("POST", "/v1/models/{model}:predict", b"a=1", "application/x-www-form-urlencoded", 415, "wrong_content_type"),
        ("POST", "/v1/models/{model}:predict", b" " * (4 * 2**20 + 1), "application/json", 413, "too_large"),
        ("POST", "/v1/labels", b" " * (4 * 2**20 + 1), "application/json", 413, "too_large"),
        ("POST", "/v1/models/{model}:predict", b"{", "application/json", 400, "malformed_json"),
        ("POST", "/v1/models/{model}:predict", b"[" * 10**6, "application/json", 400, "too_deep"),
        ("POST", "/v1/labels", b"\xff", "application/json", 400, "malformed_json"),
        ("GET", "/v2", b"", "", 404, "not_found"),
        ("GET", "/v1/models/{model}/versions", b"", "", 404, "not_found"),
    ],
)
def test_what_is_no_request_hears_why(
    desk: ServingDesk, method: str, path: str, content: bytes, kind: str, status: int, code: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    response = desk.http.request(method, path.format(model=desk.model), content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    if code == "unknown_model":
        assert desk.model in response.json()["error"]["message"]
    desk.answered(ROW)


def test_a_chunked_body_cannot_be_larger_than_a_plain_one(desk: ServingDesk) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield b" " * 2**20

    response = desk.http.post(f"/v1/models/{desk.model}:predict", content=chunks(), headers={"content-type": "application/json"})
    assert response.status_code == 413


def test_labels_that_are_forged_expired_or_of_unknown_models_are_refused_and_nothing_of_their_request_is_taken(
    desk: ServingDesk,
) -> None:
    [one, another] = desk.answered(row(3), row(4))
    sealed = desk.sealer.unseal(one["id"])
    expired = msgspec.structs.replace(sealed, epoch=1, issued=datetime.now(UTC) - timedelta(days=31))
    unknown = msgspec.structs.replace(sealed, epoch=2, model="nobody")
    forged = one["id"][:-1] + ("A" if one["id"][-1] != "A" else "B")
    cases = [("forged", forged), ("forged", "nonsense"), ("expired", seal(desk, expired)), ("unknown_model", seal(desk, unknown))]
    for reason, identity in cases:
        response = desk.label({"id": one["id"], "label": 1}, {"id": identity, "label": 1})
        assert response.status_code == 422
        assert response.json()["error"]["field"] == "labels[1].id"
        assert response.json()["refused"] == [{"index": 1, "reason": reason}]
    bad = desk.label({"id": another["id"], "label": "perhaps"})
    assert (bad.status_code, bad.json()["error"]["field"]) == (422, "labels[0].label")
    assert desk.label({"id": another["id"], "label": 0}).status_code == 200
    written = [record.prediction for record in desk.labels()]
    assert another["id"] in written
    assert not {one["id"], *(identity for _, identity in cases)} & set(written)


def seal(desk: ServingDesk, sealed: Sealed) -> str:
    return desk.sealer.seal(sealed)


def test_metrics_count_what_happened(desk: ServingDesk) -> None:
    desk.answered(ROW)
    text = desk.http.get("/metrics").text
    assert f'homeostat_route_generation{{model="{desk.model}"}}' in text
    assert f'homeostat_rows_answered_total{{arm="champion",model="{desk.model}"}}' in text
    assert "homeostat_labels_refused_total" in text
    assert 'model="nobody"' not in text


def test_the_candidate_watches_then_answers_its_share_and_a_stale_route_changes_nothing(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    serving = ServingDesk(broker.bootstrap_servers, tmp_path, shadow_wait_ms=2_000.0, deadline_ms=5_000.0)
    try:
        candidate = put_release(serving.store, serving.model, seed=1)
        serving.start()
        serving.publish_and_wait(5, candidate=candidate)
        shadow = logged(serving, {one["id"] for one in serving.answered(*(row(index) for index in range(40)))})
        assert {record.arm for record in shadow.values()} == {"champion"}
        serving.publish_and_wait(6, candidate=candidate, step=1, share=0.5)
        serving.publish(4)
        canary = logged(serving, {one["id"] for one in serving.answered(*(row(index) for index in range(200)))})
        arms = Counter(record.arm for record in canary.values())
        assert 60 < arms["candidate"] < 140
        assert arms["champion"] == 200 - arms["candidate"]
        for record in (*shadow.values(), *canary.values()):
            outputs = {output.arm: output for output in record.outputs}
            assert {arm: output.release for arm, output in outputs.items()} == {
                "champion": serving.champion,
                "candidate": candidate,
            }
            assert all(output.value is not None for output in outputs.values())
        assert {record.generation for record in canary.values()} == {6}
        serving.publish_and_wait(7, candidate="e" * 64, step=1, share=1.0)
        lame = logged(serving, {one["id"] for one in serving.answered(*(row(index) for index in range(10)))})
        assert {(record.arm, record.outputs[1].failure) for record in lame.values()} == {("champion", "exception")}
        assert serving.generation() == 7
    finally:
        serving.close()


def test_however_the_candidate_fails_clients_get_the_champions_answer_and_the_log_says_how(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAILING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    serving = ServingDesk(broker.bootstrap_servers, tmp_path, deadline_ms=400.0)
    rows = [row(index) for index in range(4)]
    generations = dict(enumerate((*FAILURES, "hangs"), start=2))
    answers: dict[str, list[dict[str, Any]]] = {}
    try:
        digests = {way: put_release(serving.store, serving.model, seed=number, fails=way) for number, way in generations.items()}
        serving.start()
        serving.publish_and_wait(1)
        sound = [(one["value"], one["probability"]) for one in serving.answered(*rows)]
        for generation, way in generations.items():
            serving.publish_and_wait(generation, candidate=digests[way], step=1, share=1.0)
            asked = FAILURES_TO_OPEN + 2 if way == "hangs" else 2
            answers[way] = [one for _ in range(asked) for one in serving.answered(*rows)]
        records = logged(serving, {one["id"] for found in answers.values() for one in found})
    finally:
        serving.close()
    for generation, way in generations.items():
        assert [(one["value"], one["probability"]) for one in answers[way]] == sound * (len(answers[way]) // len(rows))
        told = [records[one["id"]] for one in answers[way]]
        assert {(record.generation, record.arm, record.release) for record in told} == {
            (generation, "champion", serving.champion)
        }
        assert {(output.arm, output.release, output.value) for record in told for output in record.outputs[1:]} == {
            ("candidate", digests[way], None)
        }
        failures = [record.outputs[1].failure for record in told]
        if way == "hangs":
            assert failures == ["late"] * FAILURES_TO_OPEN * len(rows) + ["exception"] * 2 * len(rows)
        else:
            assert failures == [FAILURES[way]] * len(told)


def test_without_a_policy_in_the_log_no_feature_is_logged(broker: EmbeddedBroker, tmp_path: Path) -> None:
    serving = ServingDesk(broker.bootstrap_servers, tmp_path)
    common = {"at": datetime.now(UTC), "model": serving.model, "actor": "test", "reason": "test"}
    hides = Policy(log={"transfer": "drop"})
    change = ModelRegistered(id=f"{serving.model}-2", release="r", contract="c", policy=hides, **common)  # type: ignore[arg-type]
    refused = PolicySet(id=f"{serving.model}-1", policy=Policy(), **common)  # type: ignore[arg-type]
    try:
        # What the controller refuses loosens nothing here either.
        serving.write(topics.CONTROL, refused, key="another")
        serving.write(topics.CONTROL, refused)  # before its registration
        serving.write(topics.CONTROL, msgspec.structs.replace(refused, at=datetime.now(UTC) + timedelta(minutes=6)))
        serving.start()
        for generation in (1, 2):
            serving.publish_and_wait(generation)
        [one] = serving.answered(ROW)
        assert logged(serving, {one["id"]})[one["id"]].features == {}
        assert serving.log.count(f"no features of {serving.model} are logged") == 1
        serving.write(topics.CONTROL, change)
        wait_for(lambda: logged(serving, {(new := serving.answered(ROW)[0]["id"])})[new].features != {}, "the policy is known")
        [one] = serving.answered(ROW)
        hidden = {name: value for name, value in ROW.items() if name != "transfer"}
        assert logged(serving, {one["id"]})[one["id"]].features == hidden
    finally:
        serving.close()


def test_what_the_policy_hides_never_reaches_the_log(broker: EmbeddedBroker, tmp_path: Path) -> None:
    serving = ServingDesk(broker.bootstrap_servers, tmp_path)
    common = {"at": datetime.now(UTC), "model": serving.model, "actor": "test", "reason": "test"}
    registered = ModelRegistered(
        id=f"{serving.model}-1",
        release=serving.champion,
        contract="",
        policy=Policy(log={"nswprice": "drop", "period": "hash"}),
        **common,  # type: ignore[arg-type]
    )
    try:
        serving.write(topics.CONTROL, registered)
        # A second registration is the controller's to refuse; here it must loosen nothing.
        serving.write(topics.CONTROL, msgspec.structs.replace(registered, id=f"{serving.model}-2", policy=Policy()))
        serving.publish(1)
        serving.start()
        [one] = serving.answered(ROW)
        features = logged(serving, {one["id"]})[one["id"]].features
        assert "nswprice" not in features
        assert isinstance(features["period"], str)
        assert features["transfer"] == ROW["transfer"]
        serving.write(topics.CONTROL, PolicySet(id=f"{serving.model}-3", policy=Policy(log={"transfer": "drop"}), **common))  # type: ignore[arg-type]
        wait_for(lambda: "transfer" not in logged(serving, {(new := serving.answered(ROW)[0]["id"])})[new].features, "new policy")
    finally:
        serving.close()


def test_it_drains_on_sigterm_and_starts_again_with_neither_broker_nor_store(broker: EmbeddedBroker, tmp_path: Path) -> None:
    serving = ServingDesk(broker.bootstrap_servers, tmp_path)
    try:
        serving.start()
        serving.publish_and_wait(3)
        ids = {one["id"] for index in range(20) for one in serving.answered(*(row(index + k) for k in range(50)))}
        assert serving.process is not None
        serving.process.signal(signal.SIGTERM)
        assert serving.process.wait_end() == 0
        assert {record.id for record in serving.predictions()} == ids
        serving.lose_store()
        serving.start(bootstrap=NOWHERE)
        assert serving.generation() == 3
        [one] = serving.answered(ROW)
        assert desk_label_refused(serving, one["id"])
        serving.process.signal(signal.SIGTERM)
        assert serving.process.wait_end() == 0
    finally:
        serving.close()


def desk_label_refused(serving: ServingDesk, identity: str) -> bool:
    response = serving.label({"id": identity, "label": 1})
    return response.status_code == 503 and "retry-after" in response.headers


class Client(threading.Thread):
    """Predicts and labels without a pause until told to stop; keeps what it was told."""

    def __init__(self, url: str, model: str, number: int) -> None:
        super().__init__(daemon=True)
        self.http = httpx.Client(base_url=url, timeout=30.0)
        self.model = model
        self.number = number
        self.enough = threading.Event()
        self.ids: list[str] = []
        self.acknowledged: list[str] = []
        self.statuses: list[tuple[float, str, int]] = []

    def run(self) -> None:
        index = self.number * 10**6
        while not self.enough.is_set():
            index += 1
            response = self.http.post(f"/v1/models/{self.model}:predict", json={"rows": [row(index)]})
            self.statuses.append((time.monotonic(), "predict", response.status_code))
            if response.status_code != 200:
                continue
            identity = response.json()["predictions"][0]["id"]
            self.ids.append(identity)
            if index % 4 == 0:
                response = self.http.post("/v1/labels", json={"labels": [{"id": identity, "label": 1}]})
                self.statuses.append((time.monotonic(), "label", response.status_code))
                if response.status_code == 200:
                    self.acknowledged.append(identity)
        self.http.close()


def test_a_broker_killed_for_ten_seconds_costs_no_answer_and_nothing_acknowledged(broker: EmbeddedBroker, tmp_path: Path) -> None:
    serving = ServingDesk(broker.bootstrap_servers, tmp_path)
    clients: list[Client] = []
    try:
        serving.start()
        serving.publish_and_wait(1)
        clients = [Client(str(serving.http.base_url), serving.model, number) for number in range(4)]
        for client in clients:
            client.start()
        wait_for(lambda: sum(len(client.acknowledged) for client in clients) > 20, "labels are acknowledged")
        broker.kill()
        killed = time.monotonic()
        during: list[dict[str, Any]] = []
        while time.monotonic() < killed + OUTAGE_S:
            during += serving.answered(ROW)
            assert serving.http.get("/readyz").status_code == 200
        broker.start(timeout_s=120.0)
        back = time.monotonic()
        wait_for(lambda: told(clients, "label", after=back)[200] > 20, "labels are acknowledged again", 60.0)
        for client in clients:
            client.enough.set()
        for client in clients:
            client.join(30.0)
        assert told(clients, "predict").keys() == {200}
        assert told(clients, "label").keys() == {200, 503}
        answered = {identity for client in clients for identity in client.ids} | {one["id"] for one in during}
        acknowledged = {identity for client in clients for identity in client.acknowledged}
        logged(serving, answered)
        assert {record_id: n for record_id, n in Counter(record.id for record in serving.predictions()).items() if n > 1} == {}
        times = Counter(record.prediction for record in serving.labels())
        assert {identity: times[identity] for identity in acknowledged if times[identity] != 1} == {}
        serving.publish_and_wait(2)
    finally:
        for client in clients:
            client.enough.set()
        if not broker.is_alive():
            broker.start(timeout_s=120.0)
        serving.close()


def told(clients: list[Client], endpoint: str, *, after: float = 0.0) -> Counter[int]:
    """How often each status was answered."""
    return Counter(status for client in clients for at, what, status in tuple(client.statuses) if what == endpoint and at > after)
