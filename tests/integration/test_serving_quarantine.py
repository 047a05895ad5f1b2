"""A route with rules on the real broker: which rows it marks, what their clients get, and what it leaves as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from serving.circuit import FAILURES_TO_OPEN
from streams import topics
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.codec import decode_data_plane
from streams.events import PolicySet, Predicted, QuarantineRule, Route
from streams.lake_row import PredictionRow, prediction_row
from streams.partitioner import partition_of
from streams.policy import Policy, QuarantinePolicy
from tests.integration.role_process import wait_for
from tests.integration.serving_desk import ServingDesk
from tests.integration.small_release import put_release, row

RULE = QuarantineRule(incident="i", feature="nswprice", kind="unit", since=datetime(2020, 1, 1, tzinfo=UTC), low=-1.0, high=2.0)
CLOSED = QuarantineRule(
    incident="j",
    feature="vicprice",
    kind="missing",
    since=datetime(2020, 1, 1, tzinfo=UTC),
    until=datetime(2021, 1, 1, tzinfo=UTC),
)
GOOD = row(1)
SPOILT = GOOD | {"nswprice": 5.0}
"""Within the contract, outside the rule; class 1 to the model."""
ACCEPTED = GOOD | {"transfer": 99.0}
ABSENT = {name: value for name, value in GOOD.items() if name != "vicprice"}


def records(desk: ServingDesk, ids: list[str]) -> list[Predicted]:
    """What the log has of these, in that order; every one must be usable to the monitor."""
    found: dict[str, Predicted] = {}

    def all_there() -> bool:
        for message in desk.messages(topics.PREDICTIONS):
            if message.key.decode() in ids:
                parsed = prediction_row(message)
                assert isinstance(parsed, PredictionRow), parsed
                record = decode_data_plane(message.value)
                assert isinstance(record, Predicted)
                found[record.id] = record
        return found.keys() == set(ids)

    wait_for(all_there, f"{len(ids)} predictions are in the log")
    return [found[one] for one in ids]


def ids_of(answered: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in answered]


def flags_of(answered: list[dict[str, Any]]) -> list[list[str]]:
    return [one["flags"] for one in answered]


def wait_until_read(desk: ServingDesk) -> None:
    """Until serving has met every route written so far: one of a model that it cannot load, on the same partition, is told of."""
    partitions = topics.named(topics.ROUTES).partitions
    names = (f"nobody-{uuid4().hex[:8]}" for _ in range(1_000))
    name = next(n for n in names if partition_of(n.encode(), partitions) == partition_of(desk.model.encode(), partitions))
    desk.write(topics.ROUTES, Route(id="r", at=datetime.now(UTC), model=name, generation=1, champion=desk.champion, decision="d"))
    wait_for(lambda: f"of {name} waits" in desk.log, "every route is read")


def test_a_revision_marks_what_its_rules_mean_and_leaves_everything_else_alone(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The candidate fails on every row: that it is taken out stays so under a new revision, and ends with the generation."""
    desk = ServingDesk(broker.bootstrap_servers, tmp_path, shadow_wait_ms=2_000.0, deadline_ms=5_000.0)
    rows = (SPOILT, GOOD, ACCEPTED, ABSENT)
    try:
        candidate = put_release(desk.store, desk.model, seed=1, fails="nan")
        desk.register()
        desk.start()
        desk.publish_and_wait(2, candidate=candidate)
        before = [desk.answered(*rows) for _ in range(FAILURES_TO_OPEN)][-1]
        assert flags_of(before) == [[], [], ["transfer:range"], []]
        assert desk.shown()["not_answering"] == ["candidate"]

        desk.publish_and_wait(2, candidate=candidate, revision=1, quarantine=(RULE, CLOSED), accepted=("transfer",))
        assert desk.shown()["not_answering"] == ["candidate"]
        assert (desk.shown()["quarantine"], desk.shown()["accepted"]) == (["nswprice:unit"], ["transfer"])
        after = desk.answered(*rows)
        assert flags_of(after) == [["nswprice:unit"], [], [], []]
        given = ("value", "class", "probability")
        assert [[one[name] for name in given] for one in after] == [[one[name] for name in given] for one in before]
        found = records(desk, ids_of(before) + ids_of(after))
        assert [record.quarantined for record in found] == [False, False, True, False, True, False, False, False]
        assert [list(record.flags) for record in found] == flags_of(before) + flags_of(after)
        sealed = [desk.sealer.unseal(one) for one in ids_of(after)]
        assert [one.quarantined for one in sealed] == [True, False, False, False]
        assert {(record.generation, record.arm, record.release) for record in found} == {(2, "champion", desk.champion)}
        assert {record.outputs[1].failure for record in found[4:]} == {"non_finite"}
        assert desk.label({"id": after[0]["id"], "label": 1}).json() == {"accepted": 1}

        desk.publish(2, candidate=candidate)
        wait_until_read(desk)
        assert desk.in_force() == (2, 1)
        assert flags_of(desk.answered(*rows)) == flags_of(after)

        desk.publish_and_wait(3, candidate=candidate)
        assert desk.shown()["not_answering"] == []
        assert flags_of(desk.answered(*rows)) == flags_of(before)
    finally:
        desk.close()


def test_spoilt_rows_get_the_fallback_and_the_log_what_the_arms_said(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The candidate answers every row but those: no arm's word is given there, so none is routed to it."""
    desk = ServingDesk(broker.bootstrap_servers, tmp_path, shadow_wait_ms=2_000.0, deadline_ms=5_000.0)
    common: dict[str, Any] = {"at": datetime.now(UTC), "model": desk.model, "actor": "test", "reason": "test"}

    def policy(number: int, **quarantine: Any) -> PolicySet:
        return PolicySet(id=f"{desk.model}-{number}", policy=Policy(quarantine=QuarantinePolicy(**quarantine)), **common)

    def spoilt_flags() -> list[str]:
        return list(desk.answered(SPOILT)[0]["flags"])

    try:
        candidate = put_release(desk.store, desk.model, seed=1)
        desk.register(quarantine=QuarantinePolicy(fallback="0"))
        desk.start()
        desk.publish_and_wait(1, candidate=candidate, step=1, share=1.0, quarantine=(RULE,))
        spoilt, good = answered = desk.answered(SPOILT, GOOD)
        assert spoilt == {
            "id": spoilt["id"],
            "value": 0.0,
            "class": "0",
            "probability": None,
            "flags": ["nswprice:unit", "fallback"],
        }
        assert good["flags"] == [] and good["probability"] is not None
        first, second = records(desk, ids_of(answered))
        assert (first.arm, first.release, first.quarantined) == ("champion", desk.champion, True)
        assert [output.value for output in first.outputs] == [1.0, 1.0]
        assert list(first.flags) == spoilt["flags"]
        assert (second.arm, second.release, second.quarantined, second.flags) == ("candidate", candidate, False, ())

        desk.write(topics.CONTROL, policy(2, fallback="perhaps"))
        wait_for(lambda: spoilt_flags() == ["nswprice:unit"], "a fallback that is no class is ignored")
        desk.publish_and_wait(2, quarantine=(RULE,))
        [spoilt] = desk.answered(SPOILT)
        assert (spoilt["class"], desk.sealer.unseal(spoilt["id"]).quarantined) == ("1", True)
        assert desk.log.count("quarantine.fallback 'perhaps' is none of the classes 0, 1") == 1

        desk.write(topics.CONTROL, policy(3, enabled=False, fallback="0"))
        wait_for(lambda: not desk.sealer.unseal(desk.answered(SPOILT)[0]["id"]).quarantined, "quarantine is off")
        [spoilt] = desk.answered(SPOILT)
        assert (spoilt["class"], spoilt["flags"]) == ("1", ["nswprice:unit"])
        [record] = records(desk, [spoilt["id"]])
        assert (record.quarantined, record.flags) == (False, ("nswprice:unit",))
    finally:
        desk.close()
