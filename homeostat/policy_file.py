"""A policy as a person writes it: TOML, every key known, every number in its range."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from streams.policy import Policy
from streams.policy_limits import fault


class PolicyError(Exception):
    """The policy file cannot be used; the message says what was seen, what was wanted, what to do."""


_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*")


def parse_duration(text: str) -> timedelta:
    """A duration as a person writes it.

    >>> parse_duration("48h") == parse_duration("2d")
    True
    """
    matched = _DURATION.fullmatch(text)
    if matched is None:
        raise PolicyError(f"{text!r} is not a duration; write a number and s, min, h or d, as in '48h'.")
    return timedelta(seconds=float(matched[1]) * _UNITS[matched[2]])


def load_policy(path: Path) -> Policy:
    """The policy in that file; what it does not name keeps its default. Raises PolicyError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"the policy file {path} cannot be read ({error}); give the path of a TOML file.") from error
    try:
        return parse_policy(text)
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from error


def parse_policy(text: str) -> Policy:
    """The policy in this TOML text. Raises PolicyError.

    >>> parse_policy("[staleness]\\nperiod = '48h'").staleness.period.days
    2
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"not valid TOML: {error}. Mend the line it names.") from error
    prepared = _prepared(values, Policy, "")
    try:
        policy = msgspec.convert(prepared, Policy)
    except msgspec.ValidationError as error:
        raise PolicyError(f"a value has the wrong type: {error}. See the defaults in streams/policy.py.") from error
    if wrong := fault(policy):
        raise PolicyError(wrong)
    return policy


def _prepared(values: Mapping[str, Any], struct: type[msgspec.Struct], prefix: str) -> dict[str, Any]:
    """The same values with durations parsed. Unknown keys are refused with those that are valid there."""
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        names = ", ".join(prefix + name for name in unknown)
        where = f"in [{prefix.rstrip('.')}]" if prefix else "at the top"
        raise PolicyError(f"unknown key {names}; valid {where} are: {', '.join(sorted(fields))}.")
    prepared: dict[str, Any] = {}
    for name, value in values.items():
        prepared[name] = _value(value, fields[name], prefix + name)
    return prepared


def _value(value: Any, kind: Any, name: str) -> Any:
    if kind is timedelta:
        if not isinstance(value, str):
            raise PolicyError(f"{name} must be a duration in quotes, as in '48h', got {value!r}.")
        return parse_duration(value)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if not isinstance(value, Mapping):
            raise PolicyError(f"{name} must be a table, [{name}], got {value!r}.")
        return _prepared(value, kind, name + ".")
    return value


def policy_toml(policy: Policy) -> str:
    """A policy as TOML that reads back as the same policy, every key written out.

    >>> parse_policy(policy_toml(Policy())) == Policy()
    True
    """
    plain: list[str] = []
    tables: list[str] = []
    for field in msgspec.structs.fields(Policy):
        value = getattr(policy, field.name)
        if isinstance(value, msgspec.Struct):
            entries = {inner.name: getattr(value, inner.name) for inner in msgspec.structs.fields(type(value))}
        elif isinstance(value, dict):
            entries = value
        else:
            plain.append(f"{field.name} = {_written(value)}")
            continue
        tables.append("\n".join([f"[{field.name}]", *(f"{_key(name)} = {_written(entries[name])}" for name in entries)]))
    return "\n\n".join([*plain, *tables]) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, timedelta):
        return f'"{_duration(value)}"'
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(name)} = {_written(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, float):
        return repr(value)
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _duration(value: timedelta) -> str:
    """The largest unit that gives a whole number, or seconds with what is left of one."""
    seconds = value.total_seconds()
    for unit, length in reversed(_UNITS.items()):
        if seconds and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which only JSON leaves bare.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
