"""The rollout's state (it IS the route), what may happen to it, and what it may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from serving.evidence import Counted
from serving.verdict import Wealths
from streams.events import EvidenceGathered, RollBack, Ticked

SERVED_LIMIT: Final = 50
"""Releases remembered for a person's rollback."""


@dataclass(frozen=True, slots=True)
class ChampionSet:
    """A model was registered with its first champion."""

    release: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CandidateReady:
    """A candidate wants in: a run gave it and its gate passed it, or a person offers it or overrides the gate."""

    release: str
    run: str
    at: datetime
    asks: bool = False
    """A person has to agree before it answers anybody."""
    straight: bool = False
    """A person overrides gate and shadow: it begins with its first step."""
    bought: bool = True
    """A run was started for it; False: a person offered what there was."""


@dataclass(frozen=True, slots=True)
class Held:
    """A person paused the model, or lets it go on."""

    on: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Agreed:
    """A person agrees that the candidate may answer."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ShadowPassedOver:
    """A person overrides the shadow of the candidate that is in it."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A candidate turns out to be trained on rows of a data bug."""

    release: str
    why: str
    at: datetime


Event = ChampionSet | CandidateReady | EvidenceGathered | Ticked | RollBack | Held | Agreed | ShadowPassedOver | Spoilt


Kind: TypeAlias = Literal["ShadowStarted", "StepTaken", "Promoted", "RolledBack", "CandidateRejected", "BakeEnded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A decision that changes who answers or who is watched (a candidate that never got in is rejected by one too).

    `release` is the one decided on: the candidate let in, promoted or taken out; for a rollback the one taken out.
    """

    kind: Kind
    why: str
    release: str
    run: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    bought: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something looked at, or asked of a person, that changes no role."""

    kind: Literal["EvidenceNoted", "CandidateQueued", "Refused", "ApprovalWanted", "PersonAsked"]
    why: str
    release: str = ""
    run: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


Command = Shift | Note


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One (generation, step) of this rollout: evidence of any of them counts for the loss, however late its labels."""

    generation: int
    step: int
    share: float
    arm: Literal["candidate", "control"] = "candidate"


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that waits for the present rollout to end, or the pause."""

    release: str
    run: str
    asks: bool = False
    straight: bool = False
    bought: bool = True


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves, who is tried, and the evidence so far. Everything is bounded: stages by the policy's steps."""

    phase: Literal["idle", "shadow", "stepping", "baking"] = "idle"
    incarnation: int = 1
    generation: int = 0
    champion: str = ""
    candidate: str = ""
    step: int = 0
    share: float = 0.0
    control: str = ""
    run: str = ""
    """Of the candidate; through the bake, of the promoted champion."""
    since: datetime | None = None
    """Controller time at which shadow, or the bake, began; None: not known before the next tick."""
    clock: datetime | None = None
    """The latest controller time seen."""
    served: tuple[str, ...] = ()
    """Releases that served before, the newest last; those taken out for cause come first."""
    wealths: Wealths = Wealths()
    stages: tuple[Stage, ...] = ()
    counted: tuple[Counted, ...] = ()
    queued: Waiting | None = None
    paused: bool = False
    """Nothing new is tried, nothing moves forward; the ways back stay open."""
    asks: bool = False
    """The candidate needs a person's word before it answers anybody ..."""
    asked: bool = False
    """... which was asked for."""
    replaced: bool = False
    """The candidate took the place of another in shadow; it is not itself replaced, or none would ever be judged."""
    bought: bool = True
    """A run was started for the candidate."""

    @property
    def tried(self) -> str:
        """The release that the evidence is about."""
        return self.champion if self.phase == "baking" else self.candidate

    @property
    def incumbent(self) -> str:
        """The release it is compared with."""
        return self.control if self.phase == "baking" else self.champion

    @property
    def waiting(self) -> str:
        """The release that waits for its turn, or ''."""
        return self.queued.release if self.queued else ""

    def known_releases(self) -> frozenset[str]:
        """Every release that serves, served, is tried or waits."""
        return frozenset({self.champion, self.candidate, self.control, self.waiting, *self.served}) - {""}

    def last_counted(self, generation: int, step: int, arm: str) -> Counted:
        """The last record counted of one (generation, step, arm)."""
        for entry in self.counted:
            if (entry.generation, entry.step, entry.arm) == (generation, step, arm):
                return entry
        return Counted(generation=generation, step=step, arm=arm, covers={})
