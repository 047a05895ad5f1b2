"""The codec names every way in which bytes can be unusable, and loses nothing of those that are usable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import (
    Undecodable,
    decode_control,
    decode_data_plane,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
)
from streams.events import (
    SCHEMA,
    ArmEvidence,
    ArmOutput,
    EvidenceGathered,
    FeatureCounts,
    HeartBeaten,
    Labelled,
    ModelRegistered,
    Predicted,
    RollBack,
    ServedCounts,
    Snapshot,
    Ticked,
    TrainingOrder,
    WindowCounted,
)
from streams.policy import Policy

NOON = datetime(1996, 5, 7, 12, tzinfo=UTC)
PREDICTED = Predicted(
    id="p",
    at=NOON,
    model="m",
    epoch=2**62,
    seq=1,
    release="r",
    arm="champion",
    generation=1,
    features={"price": 0.1, "day": "2", "open": True, "none": None},
    outputs=(ArmOutput(arm="champion", release="r", value=1.0, confidence=0.75),),
)
LABELLED = Labelled(id="l", at=NOON, model="m", prediction="p", label="UP")
WINDOW = WindowCounted(
    id="w",
    at=NOON,
    model="m",
    topic="labels",
    partition=1,
    first_offset=0,
    end_offset=7,
    previous_first_offset=-1,
    tick=3,
    rows=7,
)


def spoiled(record: msgspec.Struct, **changes: object) -> bytes:
    """The record's JSON with some fields changed."""
    return msgspec.json.encode({**msgspec.json.decode(encode_json(record)), **changes})


@pytest.mark.parametrize("record", [PREDICTED, LABELLED, HeartBeaten()])
def test_the_data_plane_comes_back_as_it_went_in(record: msgspec.Struct) -> None:
    assert decode_data_plane(encode_json(record)) == record


@pytest.mark.parametrize(
    "record",
    [
        RollBack(id="c", at=NOON, model="m", actor="a", reason="b"),
        ModelRegistered(id="c", at=NOON, model="m", actor="a", reason="b", release="r", contract="d", policy=Policy()),
        Ticked(id="c", at=NOON, model="m", actor="a", reason="b"),
    ],
)
def test_control_comes_back_as_it_went_in(record: msgspec.Struct) -> None:
    assert decode_control(encode_json(record)) == record


def test_messagepack_comes_back_as_it_went_in() -> None:
    assert decode_msgpack(encode_msgpack(WINDOW), WindowCounted) == WINDOW
    snapshot = Snapshot(id="s", at=NOON, model="", topic="control", partition=3, offset=9, state=bytes(range(256)))
    assert decode_msgpack(encode_msgpack(snapshot), Snapshot) == snapshot


def test_equal_content_has_equal_bytes_whatever_the_order_of_its_maps() -> None:
    turned = msgspec.structs.replace(PREDICTED, features=dict(reversed(PREDICTED.features.items())))
    assert list(turned.features) != list(PREDICTED.features)
    assert encode_json(turned) == encode_json(PREDICTED)
    assert encode_msgpack(turned) == encode_msgpack(PREDICTED)


FULL = msgspec.structs.replace(
    WINDOW,
    features=(FeatureCounts(contract="c", feature="price", bins={10: 1, 9: 2, -3: 4}, missing=1, invalid=0),),
    served=(
        ServedCounts(
            release="r",
            arm="champion",
            generation=1,
            step=0,
            answered=3,
            scored=3,
            failures=0,
            late=0,
            latency={},
            outputs={1: 2, 0: 1},
        ),
    ),
)
EVIDENCE = EvidenceGathered(
    id="e",
    at=NOON,
    model="m",
    actor="agents",
    reason="n",
    generation=1,
    step=0,
    release="r",
    arm="candidate",
    champion="c",
    covers={"labels-1": 7},
    n=5,
    worse=1,
    better=2,
    difference=-3,
    difference_squared=9,
    arms=(ArmEvidence(arm="candidate", release="r", answered=3, latency={100: 1, 20: 2}),),
)


def test_counts_by_number_come_back_and_have_equal_bytes_whatever_their_order() -> None:
    assert decode_msgpack(encode_msgpack(FULL), WindowCounted) == FULL
    assert decode_control(encode_json(EVIDENCE)) == EVIDENCE
    (feature,), (arm,) = FULL.features, EVIDENCE.arms
    turned_bins = msgspec.structs.replace(feature, bins=dict(reversed(feature.bins.items())))
    turned_latency = msgspec.structs.replace(arm, latency=dict(reversed(arm.latency.items())))
    assert encode_msgpack(msgspec.structs.replace(FULL, features=(turned_bins,))) == encode_msgpack(FULL)
    assert encode_json(msgspec.structs.replace(EVIDENCE, arms=(turned_latency,))) == encode_json(EVIDENCE)


def test_unknown_fields_of_our_own_schema_are_ignored() -> None:
    assert decode_data_plane(spoiled(LABELLED, colour="red")) == LABELLED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "undecodable"),
        (b"{", "undecodable"),
        (b"\xff\xfe\x00", "undecodable"),
        (encode_json(LABELLED) + b"x", "undecodable"),
        (b"[" * 100_000, "undecodable"),
        (encode_json(LABELLED).replace(b'"UP"', b'"\xff"'), "undecodable"),
        (b"[1]", "undecodable"),
        (spoiled(LABELLED, schema=SCHEMA + 1), "wrong_schema"),
        (spoiled(LABELLED, schema=SCHEMA + 1, label={"class": "UP"}), "wrong_schema"),
        (spoiled(LABELLED, schema=SCHEMA + 1, type="LabelledAgain"), "wrong_schema"),
        (spoiled(LABELLED, schema=0), "wrong_schema"),
        (spoiled(LABELLED, at="1996-05-07T12:00:00"), "wrong_schema"),
        (spoiled(LABELLED, at="yesterday"), "wrong_schema"),
        (spoiled(LABELLED, label=None), "wrong_schema"),
        (spoiled(PREDICTED, seq="1"), "wrong_schema"),
        (spoiled(PREDICTED, epoch=2**63), "wrong_schema"),
        (spoiled(LABELLED, type="Relabelled"), "unknown_type"),
        (b'{"id": "x"}', "unknown_type"),
        (encode_json(RollBack(id="c", at=NOON, model="m", actor="a", reason="b")), "unknown_type"),
        (encode_json(PREDICTED).replace(b"0.1", b"NaN"), "not_finite"),
        (encode_json(PREDICTED).replace(b"0.1", b"-Infinity"), "not_finite"),
        (encode_json(PREDICTED).replace(b"0.1", b"1e999"), "not_finite"),
        (encode_json(LABELLED).replace(b'"UP"', b"NaN"), "not_finite"),
    ],
)
def test_each_way_of_being_unusable_has_its_name(data: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode_data_plane(data)
    assert refused.value.reason == reason
    assert refused.value.detail


def test_a_text_that_speaks_of_nan_is_only_a_text() -> None:
    record = msgspec.structs.replace(LABELLED, label="is: NaN")
    assert decode_data_plane(encode_json(record)) == record


def test_one_byte_beyond_the_limit_is_oversized_and_is_not_looked_at() -> None:
    data = encode_json(LABELLED)
    assert decode_json(data, Labelled, limit_bytes=len(data)) == LABELLED
    with pytest.raises(Undecodable) as refused:
        decode_json(data, Labelled, limit_bytes=len(data) - 1)
    assert refused.value.reason == "oversized"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_messagepack_can_carry_nan_and_we_take_none(number: float) -> None:
    data = msgspec.msgpack.encode(msgspec.structs.replace(PREDICTED, features={"price": number}))
    with pytest.raises(Undecodable) as refused:
        decode_msgpack(data, Predicted)
    assert refused.value.reason == "not_finite"


def test_messagepack_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(Undecodable) as unknown:
        decode_msgpack(encode_msgpack(LABELLED), WindowCounted)
    assert unknown.value.reason == "unknown_type"
    with pytest.raises(Undecodable) as cut:
        decode_msgpack(encode_msgpack(WINDOW)[:-3], WindowCounted)
    assert cut.value.reason == "undecodable"


def test_a_training_order_survives_with_its_durations() -> None:
    policy = msgspec.structs.replace(Policy(), log={"secret": "drop"})
    order = TrainingOrder(run="x", attempt=2, champion="c", policy=policy, as_of=NOON + timedelta(days=1), seed=3, cause="why")
    assert decode_json(encode_json(order), TrainingOrder) == order


@given(st.binary(max_size=300))
def test_no_bytes_at_all_raise_anything_but_undecodable(data: bytes) -> None:
    for decode in (decode_data_plane, decode_control, lambda raw: decode_msgpack(raw, WindowCounted)):
        try:
            decode(data)
        except Undecodable as refused:
            assert refused.reason in ("undecodable", "wrong_schema", "unknown_type", "not_finite")


@given(st.integers(0, len(encode_json(PREDICTED)) - 1), st.integers(0, 255))
def test_one_byte_flipped_gives_a_record_or_undecodable(place: int, byte: int) -> None:
    data = bytearray(encode_json(PREDICTED))
    data[place] = byte
    try:
        assert isinstance(decode_data_plane(bytes(data)), Predicted | Labelled | HeartBeaten)
    except Undecodable as refused:
        assert refused.reason
