"""An episode of the demo: streams of its own, what a person does at which row, and what must have come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from homeostat.demo.follower import Follower, Seen
from homeostat.demo.step import StepKeeper
from homeostat.demo.tally import Tally
from homeostat.electricity import Columns
from homeostat.write_control import write_control
from streams.events import Decided, Route, Steering, derived_id
from streams.policy import Policy

OPERATOR: Final = "person:demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What an act has at hand."""

    settings: Settings
    follower: Follower
    keeper: StepKeeper
    tally: Tally

    async def tell(self, record: Steering) -> None:
        """Write what a person wants, and wait until nothing of it is still to come. Raises DemoFailed, LogUnavailable."""
        await asyncio.to_thread(write_control, self.settings, record)
        await self.keeper.catch_up(self.tally)

    def decisions(self, kind: str) -> list[Decided]:
        """Decisions of that kind about this model, oldest first."""
        return decisions(self.follower.decisions, self.tally.model, kind)

    def said(self, what: str) -> dict[str, Any]:
        """What a record of the operator carries besides its own fields."""
        model = self.tally.model
        return {
            "id": derived_id(model, "demo", what),
            "at": datetime.now(UTC),
            "model": model,
            "actor": OPERATOR,
            "reason": what,
        }


Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One model of an episode. Rows [0, start) train its first release, the others are sent."""

    model: str
    about: str
    """What happens to it, for people."""
    columns: Columns
    """With the labels that are true."""
    outcomes: NDArray[np.int64]
    """Labels as they are reported."""
    start: int
    policy: Policy
    acts: Mapping[int, Act] = field(default_factory=dict)
    """By row: what a person does once everything before it is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Keys for the last line, and what was not shown."""

    document: Mapping[str, Any]
    shortfalls: Sequence[str]


class Episode(Protocol):
    """One of the stories."""

    def scenes(self) -> Sequence[Scene]:
        """Its models."""

    def judge(self, settings: Settings, seen: Sequence[Seen], routes: Sequence[Route]) -> Judged:
        """What it showed."""


def decisions(seen: Sequence[Seen], model: str, kind: str) -> list[Decided]:
    """Decisions of that kind about that model, oldest first."""
    return [one.decision for one in seen if one.decision.model == model and one.decision.kind == kind]
