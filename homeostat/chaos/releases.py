"""What each release is really worth: known to the simulator, never to the core."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from homeostat.chaos.plan import MARGIN

NORMAL_BIN: Final = 160
"""Latency bin of a millisecond."""
SLOW_BINS: Final = 64
"""Sixteen times as long."""
_KINDS: Final = ("better", "identical", "worse", "much worse", "failing", "slow")
_WEIGHTS: Final = (6, 3, 3, 1, 1, 1)
_FROZEN_WEIGHTS: Final = (12, 2, 2, 1, 1, 1)
"""A frozen challenger was proved better before."""
_LEAST, _MOST = 0.02, 0.99
_DRIFT: Final = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Chance of an error in the one state of the world and in the other, whether it fails on every row, and how long a row takes."""

    kind: str
    errors: tuple[float, float]
    fails: bool = False
    latency_bin: int = NORMAL_BIN


class Releases:
    """All releases of a schedule. A row's luck is shared: equal releases err on the same rows."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.truths: dict[str, Truth] = {}

    def first(self, model: str) -> str:
        """The release that a model is registered with."""
        release = f"{model}-first"
        self.truths[release] = Truth(kind="first", errors=(0.2, 0.2 + _DRIFT))
        return release

    def trained(self, run: str, champion: str, *, changed: bool) -> str:
        """The candidate of a run: the same one however often the run is repeated."""
        release = f"trained-{run[:13]}"
        if release not in self.truths:
            kind = random.Random(f"{self.seed}/{run}").choices(_KINDS, _WEIGHTS)[0]
            self.truths[release] = _made(kind, self.truths[champion], changed=changed)
        return release

    def frozen(self, run: str, champion: str, *, changed: bool) -> str:
        """The challenger as it was frozen for a run: the same one however often the run is repeated."""
        release = f"frozen-{run[:13]}"
        if release not in self.truths:
            kind = random.Random(f"{self.seed}/{run}/frozen").choices(_KINDS, _FROZEN_WEIGHTS)[0]
            self.truths[release] = _made(kind, self.truths[champion], changed=changed)
        return release

    def worse_by(self, release: str, champion: str) -> float:
        """The least by which a release is worse than another, whichever state the world is in."""
        ours, theirs = self.truths[release].errors, self.truths[champion].errors
        return min(a - b for a, b in zip(ours, theirs, strict=True))

    def best(self, releases: tuple[str, ...], champion: str, *, changed: bool) -> str:
        """The one that errs least now, if clearly less than the champion; else ''."""
        sound = [release for release in releases if release in self.truths and not self.truths[release].fails]
        now = {release: self.truths[release].errors[changed] for release in sound}
        found = min(now, key=lambda release: now[release], default="")
        return found if found and now[found] < self.truths[champion].errors[changed] - 0.1 else ""


def _made(kind: str, champion: Truth, *, changed: bool) -> Truth:
    added = {"better": -0.15, "worse": MARGIN, "much worse": 0.6}.get(kind, 0.0)
    before, after = champion.errors
    errors = (_within(before + added), _within(after + added))
    if kind == "better" and changed:
        # Made for the world as it is now: what served before is the better one again once that comes back.
        errors = (_within(before + _DRIFT), _within(after - _DRIFT))
    return Truth(kind=kind, errors=errors, fails=kind == "failing", latency_bin=NORMAL_BIN + (SLOW_BINS if kind == "slow" else 0))


def _within(chance: float) -> float:
    return min(max(chance, _LEAST), _MOST)
