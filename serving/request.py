"""From the body of a predict request to typed rows with flags, or a refusal that names the field."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from serving.body import BadRequest, Limits, decode_object, event_time, kind_of, listed, refuse_unknown_keys, shortened
from serving.quarantine import RowRules
from streams.contract import BOOLEAN, CATEGORY, NUMBER, Contract, FeatureContract, violation
from streams.events import QuarantineRule, Scalar

LARGEST: Final = 3.4028234663852886e38
"""Largest number that a model (float32) sees; beyond it the value counts as missing, and is flagged."""

_KEYS: Final = ("rows", "at", "entity")
_KINDS: Final = {NUMBER: "a number", CATEGORY: "a text", BOOLEAN: "true or false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsAsked:
    """A valid predict request: per row its features, flags ('feature:kind'), event time and entity key ('': none)."""

    rows: tuple[dict[str, Scalar], ...]
    flags: Sequence[tuple[str, ...]]
    at: tuple[datetime, ...]
    entities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Feature:
    """A feature with the interval in which a float needs no further look (empty unless it is a number)."""

    contract: FeatureContract
    low: float
    high: float


class RowSchema:
    """What one contract takes, and what of it is flagged; made once per release, and anew for a route with rules of its own.

    `accepted`: features whose range is lifted; beyond what a model sees at all (LARGEST) a number stays flagged.
    """

    def __init__(self, contract: Contract, rules: Sequence[QuarantineRule] = (), accepted: Collection[str] = ()) -> None:
        self.contract = contract
        self._features = {feature.name: _with_interval(feature, feature.name in accepted) for feature in contract.features}
        self._required = tuple(feature.name for feature in contract.features if feature.required)
        self._rules = RowRules(contract, rules)

    def under(self, rules: Sequence[QuarantineRule], accepted: Collection[str]) -> RowSchema:
        """The schema of a route with these; itself where there are none, as nearly always."""
        return RowSchema(self.contract, rules, accepted) if rules or accepted else self

    def parse(self, body: bytes, now: datetime, limits: Limits) -> RowsAsked:
        """The rows of a body. Raises BadRequest."""
        value = decode_object(body)
        refuse_unknown_keys(value, _KEYS)
        if "rows" not in value:
            raise BadRequest("missing", "rows is missing: send a list of objects, feature to value.", field="rows")
        rows = listed(value["rows"], "rows", limits)
        typed: list[dict[str, Scalar]] = []
        flags: list[tuple[str, ...]] = []
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                field = f"rows[{index}]"
                raise BadRequest("wrong_type", f"{field} must be an object, feature to value, got {kind_of(row)}.", field=field)
            flags.append(self._check(row, index, limits))
            typed.append(row)
        at = _times(value.get("at"), len(rows), now, limits)
        if self._rules:
            flags = [self._rules.added(*row) for row in zip(flags, typed, at, strict=True)]
        return RowsAsked(
            rows=tuple(typed),
            flags=tuple(flags),
            at=at,
            entities=_entities(value.get("entity"), len(rows), limits),
        )

    def _check(self, row: dict[str, Scalar], index: int, limits: Limits) -> tuple[str, ...]:
        """Flags of one row; numbers become floats in place. Raises BadRequest."""
        flags: list[str] = []
        for name, value in row.items():
            feature = self._features.get(name)
            if feature is None:
                field = f"rows[{index}].{shortened(name)}"
                raise BadRequest(
                    "unknown_feature", f"{field} is not a feature; valid are: {', '.join(self._features)}.", field=field
                )
            # Nearly every value of nearly every request stops here.
            if type(value) is float and feature.low <= value <= feature.high:
                continue
            if value is not None:
                row[name] = _typed(feature.contract, value, f"rows[{index}].{name}", limits)
                kind = _flag(feature.contract, row[name])
                if kind:
                    flags.append(f"{name}:{kind}")
        flags.extend(f"{name}:missing" for name in self._required if row.get(name) is None)
        return tuple(flags)


def _with_interval(feature: FeatureContract, accepted: bool) -> _Feature:
    if accepted:
        feature = msgspec.structs.replace(feature, low=None, high=None)
    if feature.kind != NUMBER:
        return _Feature(feature, math.inf, -math.inf)
    low = -LARGEST if feature.low is None else max(feature.low, -LARGEST)
    high = LARGEST if feature.high is None else min(feature.high, LARGEST)
    return _Feature(feature, low, high)


def _typed(feature: FeatureContract, value: Scalar, field: str, limits: Limits) -> Scalar:
    """The value as the contract wants it. Raises BadRequest on another type, or what no float can hold."""
    if isinstance(value, (list, dict)):
        raise _wrong_type(feature, value, field)
    if feature.kind == NUMBER and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError as error:
            raise BadRequest("not_finite", f"{field} is larger than any float.", field=field) from error
    match violation(feature, value):
        case "type":
            raise _wrong_type(feature, value, field)
        case "not_finite":
            raise BadRequest("not_finite", f"{field} is not a finite number; send null for a missing value.", field=field)
    if isinstance(value, str) and len(value) > limits.text_characters:
        raise BadRequest(
            "too_long", f"{field} has {len(value)} characters; at most {limits.text_characters} are taken.", field=field
        )
    return value


def _flag(feature: FeatureContract, value: Scalar) -> str:
    if feature.kind == NUMBER and isinstance(value, float) and abs(value) > LARGEST:
        return "range"
    return violation(feature, value)


def _wrong_type(feature: FeatureContract, value: object, field: str) -> BadRequest:
    return BadRequest("wrong_type", f"{field} must be {_KINDS[feature.kind]}, got {kind_of(value)}.", field=field)


def _times(value: object, rows: int, now: datetime, limits: Limits) -> tuple[datetime, ...]:
    if value is None:
        return (now,) * rows
    times = _as_long(listed(value, "at", limits), "at", rows)
    return tuple(event_time(item, f"at[{index}]", now, limits) for index, item in enumerate(times))


def _entities(value: object, rows: int, limits: Limits) -> tuple[str, ...]:
    if value is None:
        return ("",) * rows
    entities = _as_long(listed(value, "entity", limits), "entity", rows)
    return tuple(_entity(item, f"entity[{index}]", limits) for index, item in enumerate(entities))


def _entity(value: object, field: str, limits: Limits) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= limits.text_characters:
        wanted = f"a text of 1 to {limits.text_characters} characters, or null"
        raise BadRequest("wrong_type", f"{field} must be {wanted}.", field=field)
    return value


def _as_long(values: list[object], field: str, rows: int) -> list[object]:
    if len(values) != rows:
        raise BadRequest("wrong_length", f"{field} has {len(values)} entries for {rows} rows; send one for each.", field=field)
    return values
