"""Bytes to records and back, with every way in which bytes can be unusable named.

Decoding is strict: no numbers from strings, no NaN or infinity, no integer beyond 64 bits, no time without a zone, no
schema newer than ours. Unknown fields are ignored, so that an older reader survives an additive change.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec

from streams.events import SCHEMA, Control, HeartBeaten, Labelled, Predicted

LIMIT_BYTES: Final = 2**20
LONGEST_DETAIL: Final = 1_000
"""Characters of a refusal's explanation that are kept: it may quote the record, and a dead letter must fit its topic."""

Reason = Literal["undecodable", "oversized", "wrong_schema", "unknown_type", "not_finite"]
Decoded = Predicted | Labelled | HeartBeaten
T = TypeVar("T")

_INT64: Final = 2**63
_NOT_FINITE_TOKEN: Final = re.compile(rb"[\[:,]\s*-?(?:NaN|Infinity)\b")


class Undecodable(Exception):
    """These bytes are no record that is wanted here: `reason` for counting, `detail` (cut) for a person."""

    def __init__(self, reason: Reason, detail: str) -> None:
        detail = detail[:LONGEST_DETAIL]
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


class _Header(msgspec.Struct):
    """What can be asked of a record that is not of the wanted shape."""

    type: str = ""
    schema: int = SCHEMA


def encode_json(record: msgspec.Struct) -> bytes:
    """Canonical JSON: maps sorted, so that equal content has equal bytes."""
    try:
        return msgspec.json.encode(record, order="deterministic")
    except TypeError:  # msgspec sorts only maps whose keys are strings
        return msgspec.json.encode(msgspec.to_builtins(record, str_keys=True), order="deterministic")


def encode_msgpack(record: msgspec.Struct) -> bytes:
    """Canonical MessagePack: maps sorted, those with numbers for keys too."""
    try:
        return msgspec.msgpack.encode(record, order="deterministic")
    except TypeError:  # as above
        return msgspec.msgpack.encode(_sorted(msgspec.to_builtins(record, builtin_types=(bytes, datetime))))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def decode_json(data: bytes, kind: type[T], limit_bytes: int = LIMIT_BYTES) -> T:
    """A record of one type from JSON. Raises Undecodable."""
    record: T = _decoded(data, kind, limit_bytes, _json_decoder)
    return record


def decode_msgpack(data: bytes, kind: type[T], limit_bytes: int = LIMIT_BYTES) -> T:
    """A record of one type from MessagePack. Raises Undecodable."""
    record: T = _decoded(data, kind, limit_bytes, _msgpack_decoder)
    return record


def decode_data_plane(data: bytes, limit_bytes: int = LIMIT_BYTES) -> Decoded:
    """What `predictions` and `labels` carry. Raises Undecodable."""
    record: Decoded = _decoded(data, Decoded, limit_bytes, _json_decoder)
    return record


def decode_control(data: bytes, limit_bytes: int = LIMIT_BYTES) -> Control:
    """What `control` carries. Raises Undecodable."""
    record: Control = _decoded(data, Control, limit_bytes, _json_decoder)
    return record


def _decoded(data: bytes, kind: Any, limit_bytes: int, decoder: Callable[[Any], Any]) -> Any:
    if len(data) > limit_bytes:
        raise Undecodable("oversized", f"{len(data)} bytes, at most {limit_bytes} are taken")
    try:
        record = decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _named(error, data, decoder) from error
    schema = getattr(record, "schema", SCHEMA)
    if not 1 <= schema <= SCHEMA:
        raise Undecodable("wrong_schema", f"schema {schema}, this version reads 1 to {SCHEMA}")
    _check(record, "")
    return record


def _named(error: Exception, data: bytes, decoder: Callable[[Any], Any]) -> Undecodable:
    """Why these bytes are no such record. A newer schema explains any difference in shape, so it is asked for first."""
    if not isinstance(error, msgspec.ValidationError):
        return Undecodable("not_finite" if _NOT_FINITE_TOKEN.search(data) else "undecodable", str(error))
    try:
        header = decoder(_Header).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Undecodable("undecodable", str(error))
    if not 1 <= header.schema <= SCHEMA:
        return Undecodable("wrong_schema", f"schema {header.schema}, this version reads 1 to {SCHEMA}")
    if str(error).endswith("`$.type`") or "field `type`" in str(error):
        return Undecodable("unknown_type", f"type {header.type!r} is not one of those this topic carries")
    if "out of range" in str(error):
        return Undecodable("not_finite", str(error))
    return Undecodable("wrong_schema", str(error))


def _check(value: Any, place: str) -> None:
    """What the formats allow and the records do not."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            raise Undecodable("not_finite", f"{place} is {value}")
    elif kind is int:
        if not -_INT64 <= value < _INT64:
            raise Undecodable("wrong_schema", f"{place} does not fit 64 bits")
    elif kind is dict:
        for key, item in value.items():
            _check(key, place)
            _check(item, f"{place}.{key}")
    elif kind is tuple:
        for item in value:
            _check(item, place)
    elif kind is datetime:
        if value.tzinfo is None:
            raise Undecodable("wrong_schema", f"{place} is a time without a zone; write it in UTC, with Z")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _check(getattr(value, name), f"{place}.{name}" if place else name)


@functools.cache
def _json_decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind)


@functools.cache
def _msgpack_decoder(kind: Any) -> Any:
    return msgspec.msgpack.Decoder(kind)
