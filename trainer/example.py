"""What a dataset is made of: a row as it was served, joined with its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from streams.events import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row with its outcome."""

    epoch: int
    seq: int
    at: datetime
    features: Mapping[str, Scalar]
    label: Scalar
    quarantined: bool = False
    flags: tuple[str, ...] = ()
