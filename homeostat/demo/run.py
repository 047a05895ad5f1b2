"""The demo from start to judgement: system up, models registered, streams sent in step, everything counted.

Two streams show the healing; the episodes that may follow show what is refused, survived and recalled.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from rich.console import Console

from config.settings import Settings
from homeostat.demo.accounting import Sent, accounted
from homeostat.demo.calendar import row_at
from homeostat.demo.console import DemoConsole
from homeostat.demo.episodes.episode import Episode, Judged, Scene, Stage
from homeostat.demo.failed import DemoFailed
from homeostat.demo.follower import Follower, Seen
from homeostat.demo.frozen import frozen_values
from homeostat.demo.http_client import HttpClient
from homeostat.demo.report import ModelStory
from homeostat.demo.results import CANDIDATES, Hits, Measured, Results, judge
from homeostat.demo.sender import Sender
from homeostat.demo.step import Positions, StepKeeper
from homeostat.demo.stream import HEALED, StreamPart, first_table
from homeostat.demo.tally import Tally
from homeostat.demo_policy import demo_policy
from homeostat.electricity import TARGET
from homeostat.offline import clock_errors
from homeostat.registration import register_model
from homeostat.roles import AGENTS, CONTROL, ROLES, SERVE
from homeostat.serving_client import wait_served
from homeostat.supervisor import Supervisor
from streams.events import ModelRegistered

IN_FLIGHT: Final = 32
READY_S: Final = 120.0
ACCOUNT_S: Final = 20.0
"""Wait for the last lake files beyond a lake tick."""
EPISODE_ROLLING_ROWS: Final = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """What the run left: the judgement, and per model what the report draws."""

    results: Results
    tallies: Mapping[str, Tally]
    """Of the two streams."""
    episodes: Mapping[str, Tally]
    about: Mapping[str, str]
    """What happens to the models of the episodes."""
    frozen: Mapping[str, Hits]
    clock: Hits
    seen: Sequence[Seen]

    def stories(self) -> list[ModelStory]:
        """What the report draws, the healed model first."""
        return [
            ModelStory(
                model=name,
                first_row=tally.start,
                lines={"served": tally.hits(), "frozen": self.frozen[name]}
                | ({"by the clock": self.clock} if name == HEALED else {}),
                seen=self.seen,
            )
            for name, tally in self.tallies.items()
        ] + [
            ModelStory(
                model=name,
                first_row=tally.start,
                lines={"served": tally.hits()},
                seen=self.seen,
                rolling_rows=EPISODE_ROLLING_ROWS,
                about=self.about[name],
            )
            for name, tally in self.episodes.items()
        ]


class Demo:
    """One run on a supervisor that is starting."""

    def __init__(
        self,
        supervisor: Supervisor,
        parts: Mapping[str, StreamPart],
        console: Console,
        stop: threading.Event,
        episodes: Sequence[Episode] = (),
    ) -> None:
        self._supervisor = supervisor
        self._settings: Settings = supervisor.settings
        self._console = console
        self._stop = stop
        self._tallies = {
            name: Tally(model=name, columns=part, start=part.first_rows, stop=len(part)) for name, part in parts.items()
        }
        self._scenes = {scene.model: scene for episode in episodes for scene in episode.scenes()}
        self._episodes = episodes
        self._played = {name: _tally(scene) for name, scene in self._scenes.items()}
        self._releases: dict[str, str] = {}
        self._miscounted = 0

    def run(self, seed: int, started: float) -> DemoRun:
        """Register, send, count, judge. Raises DemoFailed, NotReady."""
        self._register()
        follower = Follower(self._settings.bootstrap_servers, self._answered)
        try:
            if not follower.wait_known(self._all(), READY_S):
                raise DemoFailed(f"no decision about the models was read; read {self._settings.logs / 'control.log'}")
            with ThreadPoolExecutor(max_workers=1) as beside:
                frozen = beside.submit(self._frozen)
                asyncio.run(self._send(follower, seed, self._tallies))
                if self._played:
                    asyncio.run(self._send(follower, seed, self._played))
                return self._judged(follower, frozen.result(), seed, started)
        finally:
            follower.close()

    def _register(self) -> None:
        """All models, two at a time, while Ray and the roles start."""
        names = list(self._all())
        with ThreadPoolExecutor(max_workers=2) as workers:
            records = list(workers.map(self._register_one, names))
        self._releases = {record.model: record.release for record in records}
        self._supervisor.wait_ready(READY_S, [role.name for role in ROLES], cancelled=self._stop)
        for name in names:
            if wait_served(self._settings, name, 0, READY_S, champion=self._releases[name]) is None:
                raise DemoFailed(f"serving does not answer with {name}; read {self._settings.logs / 'serve.log'}")

    def _register_one(self, name: str) -> ModelRegistered:
        tally = self._all()[name]
        table = first_table(tally.columns, tally.start)
        policy = self._scenes[name].policy if name in self._scenes else demo_policy(self._settings.seed)
        return register_model(self._settings, name, table, TARGET, policy, row_at(tally.start))

    def _all(self) -> dict[str, Tally]:
        return {**self._tallies, **self._played}

    def _answered(self, model: str) -> int:
        known = self._all()
        return known[model].answered if model in known else 0

    def _frozen(self) -> dict[str, Hits]:
        found = {}
        for name, tally in self._tallies.items():
            values = frozen_values(self._settings, self._releases[name], tally.columns, tally.start)
            found[name] = (values == tally.columns.labels[tally.start :]).astype(np.float64)
        return found

    async def _send(self, follower: Follower, seed: int, tallies: Mapping[str, Tally]) -> None:
        serving = HttpClient(*SERVE.address(self._settings), limit=IN_FLIGHT * len(tallies))
        agents, controller = (HttpClient(*role.address(self._settings), limit=1) for role in (AGENTS, CONTROL))
        positions = Positions(agents)
        keeper = StepKeeper(positions, Positions(controller), serving, follower)
        console = DemoConsole(self._console, tallies, follower)
        show = asyncio.create_task(console.run())
        watch = asyncio.create_task(self._until_stopped())
        senders = [
            asyncio.create_task(
                Sender(tally, serving, keeper, np.random.default_rng((seed, number)), self._acts(tally, follower, keeper)).run()
            )
            for number, tally in enumerate(tallies.values())
        ]
        try:
            await _all_or_first_failure(senders, watch)
            self._miscounted += _miscounted(await positions.newest(), tallies.values())
        finally:
            for task in (*senders, watch, show):
                task.cancel()
            await asyncio.gather(*senders, watch, show, return_exceptions=True)
            for client in (serving, agents, controller):
                client.close()
            console.tell_decisions()

    def _acts(self, tally: Tally, follower: Follower, keeper: StepKeeper) -> dict[int, Any]:
        if tally.model not in self._scenes:
            return {}
        stage = Stage(settings=self._settings, follower=follower, keeper=keeper, tally=tally)
        return {row: partial(act, stage) for row, act in self._scenes[tally.model].acts.items()}

    async def _until_stopped(self) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(0.1)
        raise DemoFailed("it was interrupted")

    def _judged(self, follower: Follower, frozen: dict[str, Hits], seed: int, started: float) -> DemoRun:
        healed = self._tallies[HEALED]
        sent = Sent(
            predictions=frozenset(identity for tally in self._all().values() for identity in tally.ids if identity),
            labels=frozenset(identity for tally in self._all().values() for identity in tally.ids[tally.start : tally.labelled]),
        )
        seen = list(follower.decisions)
        # The clock trains as often as the loop made a candidate, though a frozen challenger cost it no training.
        made = sum(1 for one in seen if one.decision.model == HEALED and one.decision.kind in CANDIDATES)
        clock: Hits = 1.0 - clock_errors(healed.columns, made).astype(np.float64)
        measured = Measured(
            seen=seen,
            served=healed.hits(),
            frozen=frozen[HEALED],
            first_row=healed.start,
            clock=float(clock.mean()) if len(clock) else 0.0,
            sent=sent.events,
            accounted=accounted(self._settings, sent, self._settings.lake_tick_ms / 1_000 + ACCOUNT_S),
            miscounted=self._miscounted,
            seed=seed,
            seconds=time.monotonic() - started,
        )
        judged = [episode.judge(self._settings, seen, follower.every_route) for episode in self._episodes]
        results = _with_episodes(judge(measured), judged)
        return DemoRun(
            results=results,
            tallies=self._tallies,
            episodes=self._played,
            about={name: scene.about for name, scene in self._scenes.items()},
            frozen=frozen,
            clock=clock,
            seen=seen,
        )


def _tally(scene: Scene) -> Tally:
    columns = scene.columns
    return Tally(model=scene.model, columns=columns, start=scene.start, stop=len(columns), outcomes=scene.outcomes)


def _with_episodes(results: Results, judged: Sequence[Judged]) -> Results:
    """What the episodes showed, after what the streams did; seed and seconds stay last."""
    document = dict(results.document)
    last = {name: document.pop(name) for name in ("seed", "seconds")}
    for one in judged:
        document |= one.document
    shortfalls = (*results.shortfalls, *(sentence for one in judged for sentence in one.shortfalls))
    return Results(document=document | last, gain=results.gain, shortfalls=shortfalls)


def _miscounted(document: Mapping[str, Any], tallies: Iterable[Tally]) -> int:
    """Rows by which what the agents counted differs from what was answered and labelled: lost, or counted twice."""
    rows = document["rows"]
    return sum(
        abs(rows[tally.model]["predictions"] - tally.predictions) + abs(rows[tally.model]["labels"] - tally.labels)
        for tally in tallies
    )


async def _all_or_first_failure(senders: list[asyncio.Task[None]], watch: asyncio.Task[None]) -> None:
    """Return when all senders are done. Raises the first failure, the watch's included."""
    pending: set[asyncio.Task[None]] = {*senders, watch}
    while not all(sender.done() for sender in senders):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                raise _cause(error)


def _cause(error: BaseException) -> BaseException:
    """What went wrong, out of the group in which concurrent requests report it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
