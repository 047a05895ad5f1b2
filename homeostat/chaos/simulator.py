"""One schedule from one seed: the real core under faults, then quiet, then every rule.

`python -m homeostat.chaos.simulator SEED` tells a schedule step by step, and what it breaks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from homeostat.chaos.history import History, gathered
from homeostat.chaos.invariants import broken
from homeostat.chaos.plan import drawn
from homeostat.chaos.tally import Tally, counted
from homeostat.chaos.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one schedule."""

    seed: int
    violations: tuple[str, ...]
    tally: Tally


def simulate(seed: int, say: Callable[[str], None] | None = None) -> Outcome:
    """Run a schedule. Whatever the core raises is a violation too."""
    try:
        history = lived(seed, say)
        return Outcome(seed, tuple(broken(history)), counted(history))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in there, the seed is the finding
        return Outcome(seed, (f"nothing may raise: {type(error).__name__}: {error}",), Tally())


def lived(seed: int, say: Callable[[str], None] | None = None) -> History:
    """The history of a schedule."""
    plan = drawn(seed)
    world = World(plan, say)
    for _ in range(plan.steps):
        world.step()
    world.quiet()
    return gathered(world)


def main(seed: int) -> int:
    """Tell the schedule of a seed; 1 when it breaks a rule."""

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    tell(str(drawn(seed)))
    outcome = simulate(seed, tell)
    for what in outcome.violations:
        tell(f"BROKEN {what}")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
