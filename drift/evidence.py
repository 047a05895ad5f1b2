"""Canary evidence, cumulative since a (generation, step) began, told whenever it has grown enough to change a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.events import ArmEvidence, PairCounts, ServedCounts, WindowCounted

CHAMPION: Final = "champion"
JUDGED: Final = ("candidate", "control")
STEPS_KEPT: Final = 4
"""Newest (generation, step) of a model that still count; labels of older ones are not used."""
TRUSTED_AHEAD: Final = 8
"""Generations beyond the newest known that served rows alone can show: predictions of a foreign system are not sealed."""
LEAST_GROWTH_ROWS: Final = 5
LEAST_GROWTH_RATIO: Final = 0.05


class Paired(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Paired losses of one arm and the champion."""

    n: int = 0
    worse: int = 0
    better: int = 0
    difference: int = 0
    difference_squared: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What was last told of an arm."""

    n: int = 0
    answered: int = 0
    failures: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Everything counted of one (generation, step)."""

    generation: int
    step: int
    champion: str = ""
    served: dict[str, ArmEvidence] = {}
    pairs: dict[str, Paired] = {}
    releases: dict[str, str] = {}
    told: dict[str, Told] = {}

    @property
    def key(self) -> tuple[int, int]:
        """Generation, then step."""
        return self.generation, self.step


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The newest steps of one model, oldest first."""

    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """The evidence on one judged arm, worth telling."""

    step: Step
    arm: str
    release: str
    paired: Paired
    arms: tuple[ArmEvidence, ...]
    why: str


def trusted(evidence: Evidence, window: WindowCounted, known: int) -> float:
    """The newest generation that is believed without a sealed label of it; any, as long as none is known.

    It is TRUSTED_AHEAD beyond the newest of the known one and those of paired losses, whose generations come from sealed ids.
    """
    sealed = [step.generation for step in evidence.steps if step.pairs] + [pair.generation for pair in window.pairs]
    newest = max([known, *sealed])
    return newest + TRUSTED_AHEAD if newest >= 0 else math.inf


def count(evidence: Evidence, window: WindowCounted, known: int = -1) -> tuple[Evidence, tuple[Grown, ...]]:
    """Add what a window says of the arms, and tell the arms whose evidence has grown. `known`: the champion's generation.

    The newest steps are kept of those with paired losses (sealed) or a trusted generation; others are ignored, so that made
    up ones push no real step out.
    """
    steps = {step.key: step for step in evidence.steps}
    touched: set[tuple[int, int]] = set()
    for served in window.served:
        key = (served.generation, served.step)
        steps[key] = _with_served(steps.get(key) or Step(generation=key[0], step=key[1]), served)
        touched.add(key)
    for pair in window.pairs:
        key = (pair.generation, pair.step)
        steps[key] = _with_pairs(steps.get(key) or Step(generation=key[0], step=key[1]), pair)
        touched.add(key)
    limit = trusted(evidence, window, known)
    kept = sorted(key for key, step in steps.items() if step.pairs or step.generation <= limit)[-STEPS_KEPT:]
    grown: list[Grown] = []
    for key in kept:
        for arm in JUDGED if key in touched else ():
            found = _grown(steps[key], arm)
            if found is not None:
                grown.append(found)
                steps[key] = _noted(steps[key], arm)
    return Evidence(steps=tuple(steps[key] for key in kept)), tuple(grown)


def _with_served(step: Step, served: ServedCounts) -> Step:
    before = step.served.get(served.arm, ArmEvidence(arm=served.arm, release=served.release))
    latency = dict(before.latency)
    for bin_, rows in served.latency.items():
        latency[bin_] = latency.get(bin_, 0) + rows
    now = ArmEvidence(
        arm=served.arm,
        release=served.release,
        answered=before.answered + served.answered,
        scored=before.scored + served.scored,
        failures=before.failures + served.failures,
        late=before.late + served.late,
        latency=dict(sorted(latency.items())),
    )
    return msgspec.structs.replace(
        step,
        served={**step.served, served.arm: now},
        releases={**step.releases, served.arm: served.release},
        champion=served.release if served.arm == CHAMPION else step.champion,
    )


def _with_pairs(step: Step, pair: PairCounts) -> Step:
    before = step.pairs.get(pair.arm, Paired())
    now = Paired(
        n=before.n + pair.n,
        worse=before.worse + pair.worse,
        better=before.better + pair.better,
        difference=before.difference + pair.difference,
        difference_squared=before.difference_squared + pair.difference_squared,
    )
    return msgspec.structs.replace(
        step,
        champion=pair.champion,
        pairs={**step.pairs, pair.arm: now},
        releases={**step.releases, pair.arm: pair.release},
    )


def _totals(step: Step, arm: str) -> Told:
    served = step.served.get(arm)
    return Told(
        n=step.pairs.get(arm, Paired()).n,
        answered=sum(one.answered for one in step.served.values()),
        failures=served.failures if served else 0,
    )


def _grown(step: Step, arm: str) -> Grown | None:
    if arm not in step.releases:
        return None
    told, now = step.told.get(arm, Told()), _totals(step, arm)
    if now.failures > told.failures:
        why = f"{now.failures - told.failures} new failures"
    elif _enough(now.n, told.n):
        why = f"labelled pairs grew from {told.n} to {now.n}"
    elif _enough(now.answered, told.answered):
        why = f"answered rows grew from {told.answered} to {now.answered}"
    else:
        return None
    arms = tuple(step.served[name] for name in (CHAMPION, arm) if name in step.served)
    return Grown(step=step, arm=arm, release=step.releases[arm], paired=step.pairs.get(arm, Paired()), arms=arms, why=why)


def _enough(now: int, before: int) -> bool:
    return now - before >= max(LEAST_GROWTH_ROWS, LEAST_GROWTH_RATIO * before)


def _noted(step: Step, arm: str) -> Step:
    return msgspec.structs.replace(step, told={**step.told, arm: _totals(step, arm)})
