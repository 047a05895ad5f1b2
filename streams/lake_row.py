"""From a message of `predictions` or `labels` to a row that may be counted, kept and trained on, or to the reason why not.

Monitor (windows, lake) and trainer (the log beyond the lake) share it, so that both refuse the same records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from streams.codec import LONGEST_DETAIL, Undecodable, decode_data_plane
from streams.events import HeartBeaten, Labelled, Predicted
from streams.ports import Message
from streams.prediction_id import MAXIMUM_EPOCH, MAXIMUM_SEQ, Forged, Sealed, Sealer

ARMS: Final = frozenset({"champion", "candidate", "control"})
FAILURES: Final = frozenset({"", "late", "exception", "non_finite", "wrong_shape"})
MAXIMUM_OUTPUTS: Final = 8
MAXIMUM_AHEAD: Final = timedelta(hours=1)
"""Event time may run ahead of the broker's clock by so much: one record from 2099 must not close every period."""

EARLIEST_YEAR: Final = 1900

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAXIMUM_COUNT: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A record that cannot be used. `reason` is one of a closed list (it labels a metric), `detail` (cut) is for people.

    undecodable oversized wrong_schema unknown_type not_finite (codec) | wrong_key future (here) | forged expired (labels)
    | unknown_model bad_label (by whoever knows the contract).
    """

    reason: str
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", self.detail[:LONGEST_DETAIL])


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """A prediction at its offset."""

    offset: int
    predicted: Predicted


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label at its offset with what its prediction's id holds. Whether it is one of the contract's labels is not known yet."""

    offset: int
    labelled: Labelled
    sealed: Sealed


def prediction_row(message: Message) -> PredictionRow | HeartBeaten | Refused:
    """What a message of `predictions` says."""
    try:
        record = decode_data_plane(message.value)
    except Undecodable as error:
        return Refused(reason=error.reason, detail=error.detail)
    if isinstance(record, HeartBeaten):
        return record
    if not isinstance(record, Predicted):
        return Refused(reason="unknown_type", detail=f"a {type(record).__name__} does not belong on {message.topic}.")
    return (
        _misplaced(message, record.id, record.at) or next(_inconsistencies(record), None) or PredictionRow(message.offset, record)
    )


def label_row(message: Message, sealer: Sealer, horizon: timedelta) -> LabelRow | HeartBeaten | Refused:
    """What a message of `labels` says. Expired: it came to the broker more than `horizon` after its prediction was issued."""
    try:
        record = decode_data_plane(message.value)
    except Undecodable as error:
        return Refused(reason=error.reason, detail=error.detail)
    if isinstance(record, HeartBeaten):
        return record
    if not isinstance(record, Labelled):
        return Refused(reason="unknown_type", detail=f"a {type(record).__name__} does not belong on {message.topic}.")
    return _misplaced(message, record.prediction, record.at) or _unsealed(message, record, sealer, horizon)


def canonical_json(value: object) -> str:
    """A JSON text for a column of the lake."""
    return msgspec.json.encode(value, order="deterministic").decode()


def _misplaced(message: Message, key: str, at: datetime) -> Refused | None:
    if message.key != key.encode():
        return Refused(reason="wrong_key", detail=f"the key must be the prediction id {key[:80]!r}, got {message.key[:80]!r}.")
    if at.year < EARLIEST_YEAR:
        return Refused(reason="wrong_schema", detail=f"`at` must not lie before {EARLIEST_YEAR}, got {at.isoformat()}.")
    if at > message.broker_time + MAXIMUM_AHEAD:
        return Refused(
            reason="future", detail=f"`at` may be at most {MAXIMUM_AHEAD} ahead of the broker's {message.broker_time}, got {at}."
        )
    return None


def _unsealed(message: Message, record: Labelled, sealer: Sealer, horizon: timedelta) -> LabelRow | Refused:
    try:
        sealed = sealer.unseal(record.prediction)
    except Forged as error:
        return Refused(reason="forged", detail=str(error))
    if sealed.model != record.model:
        return Refused(reason="forged", detail=f"the label names {record.model[:80]!r}, its prediction is of {sealed.model!r}.")
    if sealed.at > message.broker_time + MAXIMUM_AHEAD:
        return Refused(reason="future", detail=f"its prediction is of {sealed.at}, beyond the broker's {message.broker_time}.")
    age = message.broker_time - sealed.issued
    if age > horizon:
        return Refused(
            reason="expired", detail=f"labelled {age} after the prediction was issued; labels are taken for {horizon}."
        )
    return LabelRow(message.offset, record, sealed)


def _inconsistencies(record: Predicted) -> Iterator[Refused]:
    """What the types alone do not rule out in a record of a foreign system."""
    if not (0 <= record.epoch <= MAXIMUM_EPOCH and 0 <= record.seq <= MAXIMUM_SEQ):
        yield _wrong(f"epoch must fit 63 bits and seq 32, got {record.epoch} and {record.seq}.")
    for name, number in (("generation", record.generation), ("step", record.step), ("latency_us", record.latency_us)):
        if not 0 <= number < _MAXIMUM_COUNT:
            yield _wrong(f"{name} must be >= 0 and < 2**53, got {number}.")
    if not 0 < len(record.outputs) <= MAXIMUM_OUTPUTS:
        yield _wrong(f"a row has 1 to {MAXIMUM_OUTPUTS} outputs, got {len(record.outputs)}.")
    if not any(output.arm == record.arm and output.release == record.release for output in record.outputs):
        yield _wrong(f"the answering arm {record.arm[:80]!r} with its release is not among the outputs.")
    for output in record.outputs:
        if output.arm not in ARMS or output.failure not in FAILURES:
            yield _wrong(f"unknown arm or failure: {output.arm[:80]!r}, {output.failure[:80]!r}.")
    for digest in (record.contract, *(output.release for output in record.outputs)):
        if not _DIGEST.fullmatch(digest):
            detail = f"a contract or release is named by its SHA-256 (64 lower-case hex digits), got {digest[:80]!r}."
            yield Refused(reason="unknown_model", detail=detail)


def _wrong(detail: str) -> Refused:
    return Refused(reason="wrong_schema", detail=detail)
