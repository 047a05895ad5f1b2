"""Records that cannot be used: each is refused with its reason, and its neighbours are counted as if it were not there."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from streams.events import HeartBeaten, Labelled, Predicted, WindowCounted
from streams.lake_row import Refused
from streams.partition_fold import Blocked, Known, Output, PartitionState, Refusal, WindowEnded, refuse
from streams.topics import LABELS, PREDICTIONS
from tests.core.traffic import START, Traffic, fold, message, replaced

T = Traffic()
BEAT = HeartBeaten()


def windows(outputs: list[Output]) -> list[WindowCounted]:
    return [counted for output in outputs if isinstance(output, WindowEnded) for counted in output.counted]


def reasons(outputs: list[Output]) -> list[str]:
    return [output.refused.reason for output in outputs if isinstance(output, Refusal)]


BAD_PREDICTIONS: list[tuple[str, bytes | Predicted | Labelled, bytes | None]] = [
    ("undecodable", b"\x00\xff not json", None),
    ("undecodable", b"", None),
    ("oversized", b'{"type":"Predicted","id":"' + b"x" * 2**20 + b'"}', None),
    ("wrong_schema", b'{"type":"Predicted","id":7}', None),
    ("wrong_schema", replaced(T.predicted(1), schema=2), None),
    ("unknown_type", b'{"type":"Exploded"}', None),
    ("unknown_type", T.labelled(1), None),
    ("wrong_key", T.predicted(1), b"another"),
    ("wrong_key", T.predicted(1), b""),
    ("future", replaced(T.predicted(1), at=START + timedelta(days=365 * 73)), None),
    ("wrong_schema", replaced(T.predicted(1), outputs=()), None),
    ("wrong_schema", replaced(T.predicted(1), arm="candidate"), None),
    ("wrong_schema", replaced(T.predicted(1), seq=2**40), None),
    ("wrong_schema", replaced(T.predicted(1), generation=-1), None),
    ("wrong_schema", replaced(T.predicted(1), outputs=(msgspec.structs.replace(T.outputs(1)[0], value=1e300),)), None),
    ("unknown_model", replaced(T.predicted(1), contract="nonsense"), None),
    ("unknown_model", replaced(T.predicted(1), model="other"), None),
]


@pytest.mark.parametrize(("reason", "bad", "key"), BAD_PREDICTIONS)
def test_a_bad_prediction_is_refused_and_its_neighbours_are_unharmed(reason: str, bad: bytes, key: bytes | None) -> None:
    """It goes out with its reason, and the rows before and behind it are counted as if it were not there."""
    log = [
        message(PREDICTIONS, 0, 0, T.predicted(0)),
        message(PREDICTIONS, 1, 1, bad, key=key),
        message(PREDICTIONS, 2, 2, T.predicted(2)),
        message(PREDICTIONS, 3, 1_000, BEAT),
    ]
    _, outputs = fold(log, T.known(), T.rules())
    assert reasons(outputs) == [reason]
    (window,) = windows(outputs)
    assert (window.rows, window.repeated, window.end_offset) == (2, 0, 3)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    """NaN and infinities, however they are spelled, are refused before anything is counted."""
    good = message(PREDICTIONS, 0, 0, T.predicted(3))
    bad = message(PREDICTIONS, 0, 0, good.value.replace(b'"price":0.3', b'"price":' + number.encode()), key=good.key)
    assert bad.value != good.value
    _, outputs = fold([bad], T.known(), T.rules())
    assert len(reasons(outputs)) == 1 and set(reasons(outputs)) <= {"not_finite", "undecodable"}


@pytest.mark.parametrize(
    ("reason", "bad", "key"),
    [
        ("forged", Traffic(key=bytes(32)).labelled(1), None),
        ("forged", msgspec.structs.replace(T.labelled(1), prediction="made-up"), None),
        ("forged", msgspec.structs.replace(T.labelled(1), model="other"), None),
        ("expired", T.labelled(1, issued=START - timedelta(days=30, seconds=1)), None),
        ("bad_label", T.labelled(1, "maybe"), None),
        ("bad_label", T.labelled(1, 2.0), None),
        ("wrong_key", T.labelled(1), T.id_of(2).encode()),
        ("unknown_type", T.predicted(1), None),
    ],
)
def test_a_bad_label_is_refused_and_its_neighbours_are_unharmed(
    reason: str, bad: Predicted | Labelled, key: bytes | None
) -> None:
    """Forged, expired, outside the contract or under another's key: refused with the reason, and it marks nothing as seen."""
    log = [
        message(LABELS, 0, 0, T.labelled(0)),
        message(LABELS, 1, 1, bad, key=key),
        message(LABELS, 2, 2, T.labelled(1)),
        message(LABELS, 3, 1_000, BEAT),
    ]
    _, outputs = fold(log, T.known(), T.rules())
    assert reasons(outputs) == [reason]
    assert [(w.rows, w.repeated) for w in windows(outputs)] == [(2, 0)]


@pytest.mark.parametrize("topic", [PREDICTIONS, LABELS])
def test_what_is_not_loaded_blocks_and_changes_nothing(topic: str) -> None:
    """The fold stands still at a record whose contract is not loaded, and goes on with the same result once it is."""
    rows = [T.predicted(n) if topic == PREDICTIONS else T.labelled(n) for n in range(2)]
    log = [message(topic, 0, 0, rows[0]), message(topic, 1, 1_000, rows[1])]
    state, outputs = fold(log[:1], T.known(), T.rules())
    again, (blocked,) = fold(log[1:], Known(), T.rules(), state)
    assert isinstance(blocked, Blocked) and blocked.digest == T.contract_digest and blocked.sealed == (topic == LABELS)
    assert again is state and outputs == []
    _, late = fold(log[1:], T.known(), T.rules(), again)
    _, straight = fold(log, T.known(), T.rules())
    assert windows(late) == windows(straight) != []


def test_what_will_never_be_loaded_can_be_refused() -> None:
    """A refused record has its place in window and stretch, and a dead letter."""
    log = message(PREDICTIONS, 0, 0, T.predicted(0))
    refused = Refused(reason="unknown_model", detail="nobody has it")
    state, outputs = refuse(PartitionState(topic=PREDICTIONS, partition=0), log, refused, Known(), T.rules())
    assert reasons(list(outputs)) == ["unknown_model"] and state.next_offset == 1
    assert state.window is not None and state.window.records == 1
