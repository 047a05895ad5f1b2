"""Scores requests on the event loop: those that came in the same turn in one call, the arms beside the champion on their lanes.

The champion is scored in place, as a call takes longer to hand over than to make. An answer waits for another arm as long
as `Waits` says: long if that arm is to answer one of its rows, hardly at all if it only watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serving.adapters.lane import Job
from serving.adapters.live import LiveRoute, SideArm
from serving.answer import EXCEPTION, LATE, Outcome, Row, failed, score, wholly_failed
from serving.prediction import ArmOutcomes
from serving.router import CHAMPION

BATCH_ROWS: Final = 1_000
"""A batch that has so many rows is scored at once: the loop must not stand still for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long an answer waits for the arms beside the champion, in seconds."""

    answering: float
    watching: float


class _Asked:
    """One request in a batch: where its rows stand, and for which arms it waits long."""

    __slots__ = ("future", "rows", "start", "waits_for")

    def __init__(
        self, rows: Sequence[Row], start: int, waits_for: frozenset[str], future: asyncio.Future[list[ArmOutcomes]]
    ) -> None:
        self.rows = rows
        self.start = start
        self.waits_for = waits_for
        self.future = future


class _Batch:
    """The requests of one turn of the loop under one route, until every one of them has its outcomes."""

    def __init__(self, live: LiveRoute, waits: Waits) -> None:
        self.size = 0
        self._live = live
        self._waits = waits
        self._asked: list[_Asked] = []
        self._found: dict[str, tuple[Sequence[Outcome], int]] = {}
        self._jobs: dict[str, tuple[SideArm, Job]] = {}
        self._timers: list[asyncio.TimerHandle] = []
        self._watched = False

    def add(self, rows: Sequence[Row], waits_for: frozenset[str], future: asyncio.Future[list[ArmOutcomes]]) -> None:
        self._asked.append(_Asked(rows, self.size, waits_for, future))
        self.size += len(rows)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand the rows to the lanes, score the champion here, and wait for the lanes if there are any."""
        groups = [asked.rows for asked in self._asked]
        for side in self._live.side_arms:
            self._hand_over(side, groups, loop)
        champion = self._live.champion
        began = time.thread_time_ns()
        outcomes = score(champion.predictor, groups, champion.contract.target)
        self._found[CHAMPION] = (outcomes, (time.thread_time_ns() - began) // 1_000)
        if self._jobs:
            self._timers = [
                loop.call_later(self._waits.watching, self._stop_watching),
                loop.call_later(max(self._waits.answering, self._waits.watching), self._give_up),
            ]
        self._settle()

    def fail(self, error: Exception) -> None:
        """Something of ours broke: nobody waits for ever."""
        for asked in self._asked:
            if not asked.future.done():
                asked.future.set_exception(error)

    def _hand_over(self, side: SideArm, groups: Sequence[Sequence[Row]], loop: asyncio.AbstractEventLoop) -> None:
        if side.lane is None or side.circuit.open:
            self._found[side.arm] = (failed(_unasked(side), self.size), 0)
            return

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended while the arm was hanging
                loop.call_soon_threadsafe(self._arm_done, side)

        job = Job(groups, done)
        if side.lane.submit(job):
            self._jobs[side.arm] = (side, job)
        else:
            self._found[side.arm] = (failed(LATE, self.size), 0)
            side.circuit = side.circuit.after(LATE)

    def _arm_done(self, side: SideArm) -> None:
        if side.arm in self._jobs:  # or else it was given up, or collected at a timer
            self._collect(side, self._jobs.pop(side.arm)[1])
            self._settle()

    def _collect(self, side: SideArm, job: Job) -> None:
        if job.found is not None:
            outcomes, _ = self._found[side.arm] = job.found
            side.circuit = side.circuit.after(str(outcomes[0]) if wholly_failed(outcomes) else "")

    def _collect_finished(self) -> None:
        """What is finished is not late because this loop had no time to hear of it."""
        for side, job in tuple(self._jobs.values()):
            if job.found is not None:
                del self._jobs[side.arm]
                self._collect(side, job)

    def _stop_watching(self) -> None:
        self._watched = True
        self._collect_finished()
        self._settle()
        if all(asked.future.done() for asked in self._asked):
            for _, job in self._jobs.values():
                job.unwanted = True

    def _give_up(self) -> None:
        self._collect_finished()
        for side, _ in self._jobs.values():
            side.circuit = side.circuit.after(LATE)
        self._jobs = {}
        self._settle()

    def _settle(self) -> None:
        """Answer every request that waits for nothing more."""
        for asked in self._asked:
            waiting = asked.waits_for & self._jobs.keys() if self._watched else self._jobs
            if not waiting and not asked.future.done():
                asked.future.set_result(self._outcomes_of(asked))
        if not self._jobs:
            for timer in self._timers:
                timer.cancel()

    def _outcomes_of(self, asked: _Asked) -> list[ArmOutcomes]:
        champion = (CHAMPION, self._live.champion.digest)
        arms = (champion, *((side.arm, side.release) for side in self._live.side_arms))
        end = asked.start + len(asked.rows)
        found = []
        for arm, release in arms:
            outcomes, latency_us = self._found[arm] if arm in self._found else (failed(LATE, self.size), 0)
            found.append(ArmOutcomes(arm=arm, release=release, outcomes=outcomes[asked.start : end], latency_us=latency_us))
        return found


def _unasked(side: SideArm) -> str:
    """What a row that the arm is not asked for counts as: a failure, whatever took it out.

    Late says of one row that nobody waited long enough, and speaks neither for nor against the arm; an arm that was taken
    out for it has stopped answering, and that must speak against it or it would be on trial for ever.
    """
    kind = side.circuit.kind
    return kind if side.circuit.open and kind != LATE else EXCEPTION


class Engine:
    """Gathers requests into batches; belongs to one event loop."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._gathering: dict[LiveRoute, _Batch] = {}

    async def score(self, live: LiveRoute, rows: Sequence[Row], waits_for: frozenset[str]) -> list[ArmOutcomes]:
        """What each arm of the route makes of the rows, the champion first; `waits_for`: arms that should answer some."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[ArmOutcomes]] = loop.create_future()
        batch = self._gathering.get(live)
        if batch is None or batch.size + len(rows) > BATCH_ROWS:
            batch = self._gathering[live] = _Batch(live, self._waits)
            loop.call_soon(self._start, live, batch)
        batch.add(rows, waits_for, future)
        return await future

    def _start(self, live: LiveRoute, batch: _Batch) -> None:
        if self._gathering.get(live) is batch:
            del self._gathering[live]
        try:
            batch.start(asyncio.get_running_loop())
        except Exception as error:  # noqa: BLE001 - handed to every request that waits, which answers 500 and logs it
            batch.fail(error)
