"""Figures of `worth` as people read them: three digits, and stretches of time in words."""

from __future__ import annotations

from typing import Final

YEAR: Final = 365.25 * 86_400.0
_UNITS: Final = (("year", YEAR), ("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0))


def span(seconds: float) -> str:
    """In its largest fitting unit.

    >>> span(3_600.0), span(2.5 * 86_400.0), span(90.0), span(1e10)
    ('1 hour', '2.5 days', '1.5 minutes', '317 years')
    """
    for unit, length in _UNITS:
        if seconds >= length:
            amount = rounded(seconds / length)
            return f"{amount} {unit}{'' if amount == '1' else 's'}"
    return f"{rounded(seconds)} seconds"


def rounded(value: float) -> str:
    """Three digits, and no decimals beyond a hundred.

    >>> rounded(1234.5), rounded(20.26), rounded(0.01234), rounded(-0.0), rounded(2e20)
    ('1,234', '20.3', '0.0123', '0', '2e+20')
    """
    if 100.0 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"
