"""Which rows a challenger was taught lately, by identity: a label told again is neither tested nor learnt a second time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.adapters.logged_rows import Key

KEYS: Final = 20_000
"""Rows remembered; a label told again later than so many rows counts anew."""
_WORD: Final = np.dtype("<u8")
_SPREAD: Final = 0x9E3779B97F4A7C15
"""Odd, so that rows of one epoch never meet; of two epochs, hardly ever (Fibonacci hashing, Knuth 6.4)."""


def remembered(recent: bytes, keys: Sequence[Key], limit: int = KEYS) -> bytes:
    """With these keys behind, the newest `limit` of all.

    >>> recent = remembered(remembered(b"", [(1, 1), (1, 2)]), [(2, 1)], limit=2)
    >>> sorted(known_of(recent, [(1, 1), (1, 2), (2, 1), (2, 2)]))
    [(1, 2), (2, 1)]
    """
    return (recent + _words(keys).tobytes())[-limit * _WORD.itemsize :]


def known_of(recent: bytes, keys: Sequence[Key]) -> frozenset[Key]:
    """Those of the keys that are remembered."""
    known = np.isin(_words(keys), np.frombuffer(recent, _WORD))
    return frozenset(key for key, again in zip(keys, known.tolist(), strict=True) if again)


def _words(keys: Sequence[Key]) -> NDArray[np.uint64]:
    return np.array([(epoch * _SPREAD + seq) % 2**64 for epoch, seq in keys], dtype=_WORD)
