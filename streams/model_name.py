"""What a model may be called: a name that is, as it stands, a file name, a part of a URL and a word in a shell."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 100
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")


def fault(name: str) -> str:
    """What is wrong with the name; empty: nothing.

    >>> fault("churn-2.eu_west"), fault("7")
    ('', '')
    >>> fault("../churn")
    "the name '../churn' cannot be: 1 to 100 letters, digits, '.', '_' or '-' (ASCII), beginning with a letter or digit"
    >>> [bool(fault(name)) for name in ("", ".hidden", "a b", "ümlaut", "m\\n", "m" * 101)]
    [True, True, True, True, True, True]
    """
    if _NAME.fullmatch(name):
        return ""
    shown = repr(name) if len(name) <= LONGEST else f"{name[:LONGEST]!r}..."
    return (
        f"the name {shown} cannot be: 1 to {LONGEST} letters, digits, '.', '_' or '-' (ASCII), beginning with a letter or digit"
    )
