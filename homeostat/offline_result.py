"""What a replay of the loop came to: who was tried, what became of it, and where the answers were wrong."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.offline import Wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One training bought, or the recall in its place, and what became of it."""

    due: int
    """Row at which it was bought."""
    outcome: str
    ended: int
    """Row from which the candidate was champion, or was out."""
    shadow_labelled: int
    """Labelled rows when shadow decided."""
    recalled: bool = False
    """It was a release that had served before: nothing was trained."""
    frozen: bool = False
    """It was the frozen challenger: nothing was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopReplay:
    """What one replay came to."""

    accuracy: float
    trainings: int
    tried: tuple[Tried, ...]
    wrong: Wrong
    """Per streamed row whether the answer given was wrong."""

    def count(self, outcome: str) -> int:
        """Trainings that ended so: promoted | gate | CandidateRejected | RolledBack | open."""
        return sum(1 for one in self.tried if one.outcome == outcome)

    @property
    def frozen(self) -> int:
        """Frozen challengers that were tried."""
        return sum(1 for one in self.tried if one.frozen)

    @property
    def made(self) -> int:
        """Candidates made, by a training or without: as often does the clock train beside it."""
        return self.trainings + self.frozen

    @property
    def recalls(self) -> tuple[Tried, ...]:
        """Releases that were called back."""
        return tuple(one for one in self.tried if one.recalled)

    @property
    def recalls_promoted(self) -> int:
        """How many of them came to serve."""
        return sum(1 for one in self.recalls if one.outcome == "promoted")

    @property
    def promoted(self) -> tuple[Tried, ...]:
        """Those that serve, or served."""
        return tuple(one for one in self.tried if one.outcome == "promoted")
