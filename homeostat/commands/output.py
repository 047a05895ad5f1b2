"""What a command says: one JSON object on one line with --json, plain words otherwise; failures in one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

FAILED: Final = 1
"""Exit status: it was asked for rightly and did not work, or did not show what it had to."""
MISUSED: Final = 2
"""Exit status: it was asked for wrongly."""

people = Console(highlight=False, soft_wrap=True)


class Failure(Exception):
    """An expected failure: one plain sentence with the next step."""

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(sentence)
        self.status = status


def say(text: str, *, as_json: bool = False) -> None:
    """Progress for people: on standard error when standard output is for a program."""
    if as_json:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    else:
        people.print(text, markup=False)


def answer(document: Mapping[str, Any]) -> None:
    """The answer for a program: one object, one line, the last."""
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


def fail(sentence: str, status: int, *, as_json: bool) -> int:
    """Say why it failed and give back the exit status."""
    if as_json:
        answer({"error": sentence})
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {_escaped(sentence)}")
    return status


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
