"""The controller killed around the commit of every kind of decision, inside a transaction, and before the mirror."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from homeostat.chaos.crashes.end_state import check, is_mirrored
from homeostat.chaos.crashes.rehearsal import Rehearsal
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.stories import story_of
from homeostat.chaos.crashes.verdict import require, until
from streams.crash_points import BEFORE_MIRROR, DECISIVE, IN_TRANSACTION, MIRRORED_DECISIONS, MIRRORED_STATE
from streams.events import Control, PolicySet, Ticked, TrainingFailed, TrainingOrder
from trainer import open_runs
from trainer.open_runs import OpenRuns

ROLE: Final = "control"
_CLOSING: Final = ("PolicyChanged", "TrainingStarted", "TrainingEnded")
"""What the probe, and the end of a run that a story leaves open, are decided as."""
_DECISION: Final = "Promoted"
_OF_THE_MIRROR: Final = (BEFORE_MIRROR, MIRRORED_DECISIONS, MIRRORED_STATE)
_ANY_TRANSACTION: Final = (IN_TRANSACTION, *_OF_THE_MIRROR)
"""Points of every transaction: tried with one decision, in a life that begins just before it."""


def crash(site: Site, point: str) -> None:
    """Tell a story up to the record that is decided so, die there, start again, tell it once more. Raises Unclean."""
    kind = _DECISION if point in _ANY_TRANSACTION else point.rpartition(":")[2]
    cast = site.new_cast(kind)
    told, place = story_of(kind, cast)
    site.running("serve")
    before, deciding = told.records[:place], told.records[place]
    expected = kinds_of(told, place + 1)
    if point in _ANY_TRANSACTION:
        site.running(ROLE)
        site.tell(before)
        decided(site, told, place)
        life = site.start(ROLE, dies_at=point)
    else:
        life = site.armed(ROLE, point)
        site.tell(before)
        decided(site, told, place, unless=lambda: life.ended)
    site.tell([deciding])
    life.killed_there()
    site.start(ROLE, dies_at=_next(site, told, place))
    if point in _OF_THE_MIRROR:
        # Before any other decision, which would be mirrored with all that it follows from.
        decided(site, told, place + 1)
        is_mirrored(site, cast.model)
    finish(site, told, deciding, expected)


def _next(site: Site, told: Rehearsal, place: int) -> str:
    """The next point, if what is still to be decided here does not pass it: the new process can die for that one."""
    point = site.ahead[0] if site.ahead else ""
    kind = point.rpartition(":")[2]
    passes = {*_CLOSING, *(decision.kind for decision in told.decided[place])}
    return "" if point in _ANY_TRANSACTION or kind not in DECISIVE or kind in passes else point


def kinds_of(told: Rehearsal, records: int) -> list[str]:
    """What the first so many records come to."""
    return [decision.kind for decisions in told.decided[:records] for decision in decisions]


def decided(site: Site, told: Rehearsal, records: int, unless: Callable[[], bool] = lambda: False) -> None:
    """Wait until the first so many records are decided on, or `unless`."""
    wanted, model = len(kinds_of(told, records)), told.cast.model
    until(
        lambda: unless() or len(site.log.look().kinds(model)) >= wanted,
        lambda: f"{wanted} decisions; there are {site.log.kinds(model)}",
    )


def finish(site: Site, told: Rehearsal, deciding: Control, expected: list[str]) -> None:
    """Whoever wrote the record heard nothing and writes it again; then something else must still be decided."""
    model = told.cast.model
    probe = PolicySet(policy=msgspec.structs.replace(told.policy, log={"x": "drop"}), **told.said("probe"))  # type: ignore[arg-type]
    site.tell([deciding, probe])
    until(
        lambda: any(decision.cause == probe.id for decision in site.log.look().decisions(model)),
        lambda: f"the probe is decided on; there is {site.log.kinds(model)}",
    )
    kinds = [decision.kind for decision in site.log.whole().decisions(model)]
    again = [] if isinstance(deciding, Ticked) else ["again"]
    told_twice = kinds[: len(expected)] == expected and len(kinds) == len(expected) + len(again) + 1
    require(told_twice, f"wanted {expected}, an answer to the repeat and to the probe; there is {kinds}")
    _give_up_runs(site, told)
    check(site, model)


def _give_up_runs(site: Site, told: Rehearsal) -> None:
    """The story is over: no trainer that comes later must find its runs open."""
    model = told.cast.model

    def owed() -> TrainingOrder | None:
        runs = OpenRuns()
        for decision in site.log.look().decisions(model):
            runs = open_runs.decided(runs, decision)
        return runs.orders.get(model)

    while (order := owed()) is not None:
        failure = TrainingFailed(run=order.run, attempt=order.attempt, retryable=False, **told.said("given-up"))  # type: ignore[arg-type]
        told.records.append(failure)
        site.tell([failure])
        until(lambda: owed() != order, lambda: f"run {order.run} is given up; there is {site.log.kinds(model)}")
