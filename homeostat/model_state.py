"""What the controller knows of one model, and what a step of its fold may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from drift.staleness import Staleness
from serving.canary import Rollout
from streams.events import Control, TrainingOrder
from streams.policy import Policy
from trainer.admission import Admission
from trainer.job import Job

SEEN_LIMIT: Final = 512
"""Ids of control records remembered per model, so that twice is once."""


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """All machines of one model. Snapshot and restore at any record gives the same decisions."""

    model: str
    contract: str
    policy: Policy
    staleness: Staleness = Staleness()
    admission: Admission = Admission()
    job: Job = Job()
    rollout: Rollout
    runs: int = 0
    """Started so far."""
    watermark: datetime
    """Event time up to which losses were gathered; at registration, the registration's."""
    registered_at: datetime
    """Event time of the registration: the period it falls into is a part of one, and not measured."""
    last_period: int = -1
    period_release: str = ""
    """`last_period` is of this release."""
    seen: tuple[str, ...] = ()

    def remember(self, record_id: str) -> ModelState:
        """With one more id that acts no second time."""
        return msgspec.structs.replace(self, seen=(*self.seen, record_id)[-SEEN_LIMIT:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One record of `control` as it stands in the log. `at` is the broker's time: the controller's clock."""

    record: Control
    partition: int
    offset: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A decision before it has an id."""

    kind: str
    why: str
    numbers: dict[str, float] = field(default_factory=dict)
    release: str = ""
    run: str = ""
    order: TrainingOrder | None = None


Step = tuple[ModelState, tuple[Draft, ...]]
