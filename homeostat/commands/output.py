"""What a command says: one JSON object on one line with --json, plain words otherwise; failures in one sentence."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

FAILED: Final = 1
"""Exit status: it was asked for rightly and did not work, or did not show what it had to."""
MISUSED: Final = 2
"""Exit status: it was asked for wrongly."""

_NAMING: Final = {"id", "run", "release", "incident", "open", "autonomy"}

_DIGEST: Final = re.compile("[0-9a-f]{64}")

people = Console(highlight=False, soft_wrap=True)


class Failure(Exception):
    """An expected failure: one plain sentence with the next step, and, for a program, what is known besides."""

    def __init__(self, sentence: str, status: int = FAILED, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.document = dict(document or {})


def say(text: str, *, as_json: bool = False) -> None:
    """Progress for people: on standard error when standard output is for a program."""
    if as_json:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    else:
        people.print(printable(text), markup=False)


def answer(document: Mapping[str, Any]) -> None:
    """The answer for a program: one object, one line, the last."""
    sys.stdout.write(json.dumps(document, default=_plain) + "\n")
    sys.stdout.flush()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def fail(sentence: str, status: int, *, as_json: bool, document: Mapping[str, Any] | None = None) -> int:
    """Say why it failed and give back the exit status."""
    if as_json:
        answer({**(document or {}), "error": sentence})
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {cell(sentence)}")
    return status


def printable(text: str) -> str:
    r"""Text of unknown origin for a terminal: without what would steer it.

    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)


def cell(text: str) -> str:
    """Text of unknown origin for a table: as it is, brackets and all."""
    return printable(text).replace("[", "\\[")


def table(title: str, *names: str) -> Table:
    """An empty table; what names a thing is never broken."""
    made = Table(title=title, title_justify="left")
    for name in names:
        made.add_column(name, no_wrap=name in _NAMING, overflow="fold")
    return made


def moment(at: datetime) -> str:
    """A time as tables show it: UTC to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def number(value: float) -> str:
    """A figure as people read it.

    >>> number(1234.0), number(0.0312345), number(-0.5)
    ('1,234', '0.03123', '-0.5')
    """
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def short(value: Any) -> str:
    """A value of a record as people read it: 12 characters of a digest, 4 digits of a figure, a time to the second.

    >>> short({"loss": 0.0312345, "rows": 1234.0, "release": "ab" * 32, "seed": 123456, "passed": True})
    'loss 0.03123, rows 1,234, release abababababab, seed 123456, passed True'
    >>> short(["ab" * 32, 0.5])
    'abababababab, 0.5'
    """
    match value:
        case datetime():
            return moment(value)
        case float():
            return number(value)
        case str():
            return value[:12] if _DIGEST.fullmatch(value) else value
        case Mapping():
            return ", ".join(f"{key} {short(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(map(short, value))
        case _:
            return str(value)
