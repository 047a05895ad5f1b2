"""How long a process that dies again and again is left alone."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0
STABLE_S: Final = 60.0
"""A process that ran so long starts with the shortest pause again."""


def pause_s(deaths_in_a_row: int) -> float:
    """Seconds to wait before the next start: doubling, bounded.

    >>> [pause_s(n) for n in (1, 2, 3, 20)]
    [0.5, 1.0, 2.0, 30.0]
    """
    return min(LONGEST_S, FIRST_S * 2.0 ** min(deaths_in_a_row - 1, 16))


def deaths_after(deaths_in_a_row: int, ran_s: float) -> int:
    """Deaths in a row, counting one after a life of so many seconds.

    >>> deaths_after(4, 2.0), deaths_after(4, 61.0)
    (5, 1)
    """
    return 1 if ran_s >= STABLE_S else deaths_in_a_row + 1
