"""A request body as bounded JSON, and the one way to refuse it: status, code, message and the field at fault."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

EARLIEST_YEAR: Final = 1900
"""Earlier times are refused by the monitor too."""


class BadRequest(Exception):
    """The client must change something; `field` says where, e.g. 'rows[3].nswprice'."""

    def __init__(self, code: str, message: str, *, field: str = "", status: int = 422) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 4 * 2**20
    rows: int = 1_000
    text_characters: int = 1_000
    """Longest text value, entity key or label."""
    ahead: timedelta = timedelta(minutes=5)
    """How far in the future an event time may lie: clocks differ, but one record from 2099 must not end a cooldown."""


def decode_object(body: bytes) -> dict[str, object]:
    """The JSON object in `body`. NaN and infinities, which are no JSON, are refused by the field that holds them."""
    try:
        value = msgspec.json.decode(body)
    except RecursionError as error:
        raise BadRequest("too_deep", "the JSON is nested too deeply; rows hold plain values.", status=400) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        field = _non_finite_field(body)
        if field:
            raise BadRequest(
                "not_finite", f"{field} is not a finite number; send null for a missing value.", field=field
            ) from error
        raise BadRequest("malformed_json", f"the body is not valid JSON: {error}.", status=400) from error
    if not isinstance(value, dict):
        raise BadRequest("wrong_type", f"the body must be a JSON object, got {kind_of(value)}.")
    return value


def refuse_unknown_keys(value: dict[str, object], valid: Collection[str], where: str = "") -> None:
    """Refuse keys that nobody reads: a misspelt one would be a silent default."""
    for key in value:
        if key not in valid:
            field = f"{where}.{shortened(key)}" if where else shortened(key)
            raise BadRequest("unknown_field", f"{field} is not known; valid are: {', '.join(sorted(valid))}.", field=field)


def listed(value: object, field: str, limits: Limits) -> list[object]:
    """A non-empty list of at most `limits.rows` things."""
    if not isinstance(value, list):
        raise BadRequest("wrong_type", f"{field} must be a list, got {kind_of(value)}.", field=field)
    if not value:
        raise BadRequest("empty", f"{field} is empty; send at least one.", field=field)
    if len(value) > limits.rows:
        raise BadRequest(
            "too_many_rows",
            f"{field} has {len(value)} entries; at most {limits.rows} in one request. Split it.",
            field=field,
            status=413,
        )
    return value


def event_time(value: object, field: str, now: datetime, limits: Limits) -> datetime:
    """An aware time in UTC; null means now."""
    if value is None:
        return now
    if not isinstance(value, str):
        raise BadRequest("wrong_type", f"{field} must be an ISO 8601 time, got {kind_of(value)}.", field=field)
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise BadRequest("bad_time", f"{field} has no offset from UTC; end it with Z or +hh:mm.", field=field)
        time = time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequest("bad_time", f"{field} must be an ISO 8601 time, got {shortened(value)!r}.", field=field) from error
    if time.year < EARLIEST_YEAR:
        raise BadRequest("bad_time", f"{field} lies before {EARLIEST_YEAR}, got {shortened(value)!r}.", field=field)
    if time > now + limits.ahead:
        raise BadRequest(
            "future_time",
            f"{field} is {time.isoformat()}, later than now ({now.isoformat()}) by more than {limits.ahead}; check the clock.",
            field=field,
        )
    return time


def kind_of(value: object) -> str:
    """JSON's word for what a value is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def shortened(text: str) -> str:
    """Client text as it may stand in an answer: no longer than 80 characters."""
    return text if len(text) <= 80 else text[:77] + "..."


def _non_finite_field(body: bytes) -> str:
    """Path of the first NaN or infinity in what is otherwise JSON; '' where there is none, or no JSON at all."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return path or "body"
        if isinstance(value, dict):
            stack.extend((f"{path}.{shortened(key)}" if path else shortened(key), item) for key, item in value.items())
        elif isinstance(value, list):
            stack.extend((f"{path}[{index}]", item) for index, item in enumerate(value))
    return ""
