"""What of a row is logged: per feature keep | hash | bin | drop, from the first event on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Final

from streams.contract import BINS_PER_SCALE, NUMBER, Contract, FeatureContract, bin_of
from streams.events import Scalar

KEEP: Final = "keep"
HASH: Final = "hash"
BIN: Final = "bin"
DROP: Final = "drop"
MODES: Final = (KEEP, HASH, BIN, DROP)


def logged(contract: Contract, modes: Mapping[str, str] | None, key: bytes, row: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The row as it may be logged. A mode that is not known drops the feature: it was meant to hide something.

    `modes` None: nobody knows what the policy hides, so that nothing may be logged.
    """
    if modes is None:
        return {}
    kept = dict(row)
    for feature in contract.features:
        mode = modes.get(feature.name, KEEP)
        value = kept.get(feature.name)
        if mode == KEEP or value is None:
            continue
        if mode == HASH:
            kept[feature.name] = _hashed(key, feature.name, value)
        elif mode == BIN:
            kept[feature.name] = _binned(feature, value)
        else:
            del kept[feature.name]
    return kept


def _hashed(key: bytes, name: str, value: Scalar) -> str:
    return hashlib.blake2b(f"{name}|{value!r}".encode(), key=key, digest_size=8).hexdigest()


def _binned(feature: FeatureContract, value: float | str | bool) -> Scalar:
    """A number becomes its grid bin's centre, which falls into the same bin; a category the number of its bucket."""
    if feature.kind == NUMBER:
        return feature.centre + feature.scale * math.sinh(bin_of(feature, value) / BINS_PER_SCALE)
    return value if isinstance(value, bool) else f"bucket-{bin_of(feature, value)}"
