"""A rollout as a story: evidence made for whatever stage the machine is in, and what it said so far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from serving import canary
from serving.canary import CandidateReady, ChampionSet, Note, Rollout, Shift
from streams.events import UNIT, ArmEvidence, EvidenceGathered, RollBack, Ticked
from streams.policy import CanaryPolicy

POLICY = CanaryPolicy(margin=0.06, shadow_rows=800, step_rows=100, bake_rows=100, deadline=timedelta(hours=1))
T0 = datetime(2026, 1, 1, tzinfo=UTC)


class Story:
    """A rollout, what was said so far, and evidence made for whatever stage it is in."""

    def __init__(self, policy: CanaryPolicy = POLICY) -> None:
        self.policy = policy
        self.state = Rollout()
        self.said: list[Shift | Note] = []
        self.sent: dict[tuple[int, int, str], EvidenceGathered] = {}
        self.rng = np.random.default_rng(1)
        self.tell(ChampionSet("old", T0))

    def tell(self, event: canary.Event) -> tuple[Shift | Note, ...]:
        self.state, commands = canary.advance(self.state, event, self.policy)
        self.said.extend(commands)
        return commands

    def ready(self, release: str = "new", at: datetime = T0) -> tuple[Shift | Note, ...]:
        return self.tell(CandidateReady(release=release, run=f"run-{release}", at=at))

    def record(self, **changed: Any) -> EvidenceGathered:
        """The last record of the present stage (or of its start), with some fields changed."""
        state = self.state
        arm, release = ("control", state.control) if state.phase == "baking" else ("candidate", state.candidate)
        nothing = EvidenceGathered(
            id="e", at=T0, model="m", actor="agents", reason="", generation=state.generation, step=state.step, release=release,
            arm=arm, champion=state.champion, covers={"labels-0": 0}, n=0, worse=0, better=0, difference=0, difference_squared=0,
        )  # fmt: skip
        last = self.sent.get((state.generation, state.step, arm), nothing)
        return msgspec.structs.replace(last, **changed)

    def rows(self, n: int, *, worse: int = 0, better: int = 0, of_candidate: int | None = None) -> tuple[Shift | Note, ...]:
        """`n` more labelled and answered rows of the present stage, cumulative, covering new offsets."""
        last = self.record()
        mine = round(n * self.state.share) if of_candidate is None else of_candidate
        before = {arm.arm: arm.answered for arm in last.arms}
        event = self.record(
            covers={"labels-0": last.covers["labels-0"] + n},
            n=last.n + n,
            worse=last.worse + worse,
            better=last.better + better,
            difference=last.difference + (worse - better) * UNIT,
            difference_squared=last.difference_squared + (worse + better) * UNIT,
            arms=tuple(
                ArmEvidence(arm=arm, release="", answered=before.get(arm, 0) + count, scored=last.n + n)
                for arm, count in (("champion", n - mine), (last.arm, mine))
            ),
        )
        self.sent[(event.generation, event.step, event.arm)] = event
        return self.tell(event)

    def until(self, kind: str, *, worse: float, better: float, limit: int = 60) -> Shift:
        """Lots of 20 rows with these rates until a shift of that kind; fails when another one, or none, comes."""
        for _ in range(limit):
            counts = self.rng.multinomial(20, [worse, better, 1 - worse - better])
            for command in self.rows(20, worse=int(counts[0]), better=int(counts[1])):
                if isinstance(command, Shift):
                    assert command.kind == kind, command.why
                    return command
        raise AssertionError(f"no {kind} after {limit} lots: {self.state.wealths}")

    def promoted(self, release: str = "new") -> None:
        self.ready(release)
        for kind in ("StepTaken", "StepTaken", "Promoted"):
            self.until(kind, worse=0.02, better=0.08)

    def kinds(self) -> list[str]:
        return [command.kind for command in self.said if isinstance(command, Shift)]


def tick(at: datetime) -> Ticked:
    return Ticked(id="t", at=at, model="m", actor="controller", reason="")


def back(to: str = "") -> RollBack:
    return RollBack(id="r", at=T0, model="m", actor="ada", reason="customers complain", to=to)
