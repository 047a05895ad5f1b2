"""What a crash must leave behind, said where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 60.0
"""How long the system may take to what must come; far beyond what it takes on a busy machine."""
LOOK_EVERY_S: Final = 0.03


class Unclean(Exception):
    """After a crash something is neither the old state nor the new one, or the point was not reached; the message says what."""


def require(condition: bool, otherwise: str) -> None:
    """Raise Unclean unless it holds."""
    if not condition:
        raise Unclean(otherwise)


def until(condition: Callable[[], bool], what: Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    """Look until it holds. Raises Unclean at the bound."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise Unclean(f"not within {patience_s:g} s: {what()}")
        time.sleep(LOOK_EVERY_S)
