"""What the controller knows of one model, and what a step of its fold may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from drift.joined_losses import JoinedLosses
from drift.staleness import Staleness
from serving.canary import Rollout
from streams.events import Control, QuarantineRule, TrainingOrder
from streams.policy import Policy
from streams.policy_log import IDS_KEPT
from trainer.admission import Admission
from trainer.job import Job

MADE_LIMIT: Final = 8
INCIDENTS_LIMIT: Final = 32
"""Open ones, and the closed ones that datasets may still reach back to."""
ASKED_LIMIT: Final = 8
ABOUT_TRAINING: Final = "training"
ABOUT_CHALLENGER: Final = "challenger"
ABOUT_EITHER: Final = "challenger, or else training"
ABOUT_BUYING: Final = {
    ABOUT_TRAINING: "a training pays; may it be bought?",
    ABOUT_CHALLENGER: "letting the challenger in pays; may it be tried?",
    ABOUT_EITHER: "letting the challenger in pays, and where it is not let through, a training; may they be tried?",
}
"""What a person is asked before something is bought, by what the question is about."""
ACCEPTED_LIMIT: Final = 256


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that a run gave and that never answered anybody: a person may let it past gate and shadow."""

    release: str
    run: str
    as_of: datetime
    """Event time up to which it was trained."""
    known: tuple[str, ...] = ()
    """Incidents whose rows were left out of its dataset."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person was asked, by which decision."""

    decision: str
    what: str
    """One of ABOUT_BUYING, or the run of the candidate that may answer."""


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """All machines of one model. Snapshot and restore at any record gives the same decisions."""

    model: str
    contract: str
    policy: Policy
    losses: JoinedLosses = JoinedLosses()
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
    """The newest that was measured, of whichever champion: none is measured twice, also not of one that serves again."""
    made: tuple[Made, ...] = ()
    recall_run: str = ""
    """The last run that called a release back."""
    recalled_in_vain: tuple[str, ...] = ()
    """Releases whose recall came to nothing under this champion: they are not tried again."""
    frozen: tuple[str, ...] = ()
    """Releases that are frozen challengers."""
    frozen_in_vain: bool = False
    """The last thing bought was one, and came to nothing: a training has its turn first."""
    asked: tuple[Asked, ...] = ()
    incidents: tuple[QuarantineRule, ...] = ()
    """The newest last."""
    released: tuple[QuarantineRule, ...] = ()
    """Incidents that a person ended: rows that carry their mark are learnt from after all."""
    accepted: tuple[str, ...] = ()
    """Features that a person says have really changed."""
    accepted_under: dict[str, tuple[str, ...]] = {}
    """By accepted feature, the releases that had served by then: what is still said of it by their reference is old."""
    revision: int = 0
    """Counts changes of the route that change no role."""
    seen: tuple[str, ...] = ()

    @property
    def quarantine(self) -> tuple[QuarantineRule, ...]:
        """Rules of the incidents that are open."""
        return tuple(rule for rule in self.incidents if rule.until is None)

    @property
    def champion_frozen(self) -> bool:
        """The champion is a frozen challenger, and measured against the challenger; to its own loss kinds mean nothing."""
        return not self.losses.own and self.rollout.champion in self.frozen

    def made_by(self, release: str) -> Made | None:
        """What is known of a candidate that never answered."""
        return next((one for one in reversed(self.made) if one.release == release), None)

    def remember(self, record_id: str) -> ModelState:
        """With one more id that acts no second time."""
        return msgspec.structs.replace(self, seen=(*self.seen, record_id)[-IDS_KEPT:])


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
    asks: str = ""
    """What a person is asked by it: one of ABOUT_BUYING, or the run whose candidate may answer; empty: nothing."""
    incident: str = ""


Step = tuple[ModelState, tuple[Draft, ...]]
