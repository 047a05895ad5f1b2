"""Keeps the sender in step with the loop: everything sent is counted, judged and acted on before more is sent.

So the outcome does not depend on how fast the machine is, only how long the demo takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from homeostat.demo.failed import DemoFailed
from homeostat.demo.follower import Follower
from homeostat.demo.http_client import HttpClient, Unreachable
from homeostat.demo.tally import Tally
from streams import topics

LOOK_EVERY_S: Final = 0.015
LAG_S: Final = 60.0
"""Longest wait for a role to catch up."""
TRAINING_S: Final = 180.0
"""Longest wait for a training."""


class Positions:
    """A role's /position, asked at most every LOOK_EVERY_S whoever waits for it."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._document: dict[str, Any] = {}
        self._asked_at = 0.0

    async def newest(self) -> dict[str, Any]:
        """The document, LOOK_EVERY_S old at most; a role that is being restarted has its last one."""
        async with self._lock:
            wait = self._asked_at + LOOK_EVERY_S - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            try:
                self._document = await self._client.get_json("/position")
            except Unreachable:
                await asyncio.sleep(LOOK_EVERY_S * 10)
            self._asked_at = time.monotonic()
            return self._document


class StepKeeper:
    """Waits, bounded, for agents, controller, trainer and serving; says who lags when the bound is passed."""

    def __init__(self, agents: Positions, controller: Positions, serving: HttpClient, follower: Follower) -> None:
        self._agents = agents
        self._controller = controller
        self._serving = serving
        self._follower = follower
        self._folded: dict[str, int] = {}
        self._taken: dict[str, tuple[int, int]] = {}
        """Generation and revision of the route that serving was last seen to have."""
        self._routed_at: dict[str, int] = {}

    def tried_since(self, model: str) -> int | None:
        """Rows answered when the route that tries a candidate was taken; None: no candidate is tried."""
        route = self._follower.routes.get(model)
        return None if route is None or not route.candidate else self._routed_at.get(model)

    async def catch_up(self, tally: Tally) -> None:
        """Return once nothing that was sent has a consequence still to come. Raises DemoFailed."""
        model = tally.model
        await self._counted(tally)
        await self._challenged(tally)
        await self._decided(model)
        if run := self._follower.open_runs.get(model):
            await self._until(self._run_over(model, run), TRAINING_S, lambda: f"the trainer has not ended run {run} of {model}")
            await self._decided(model)
        await self._routed(tally)

    async def _counted(self, tally: Tally) -> None:
        seen = (0, 0)

        async def all_in() -> bool:
            nonlocal seen
            rows = (await self._agents.newest()).get("rows", {}).get(tally.model, {})
            seen = rows.get("predictions", 0), rows.get("labels", 0)
            return seen[0] >= tally.predictions and seen[1] >= tally.labels

        await self._until(
            all_in,
            LAG_S,
            lambda: (
                f"the monitor or the agents lag: of {tally.predictions} predictions and {tally.labels} labels of {tally.model} "
                f"the agents have folded {seen[0]} and {seen[1]}"
            ),
        )

    async def _challenged(self, tally: Tally) -> None:
        """The challenger has taken every label sent, and `control` has what it made of them; or the model has none."""
        seen: int | None = 0

        async def all_taken() -> bool:
            nonlocal seen
            seen = (await self._agents.newest()).get("challenged", {}).get(tally.model, 0)
            return seen is None or seen >= tally.labels

        await self._until(
            all_taken,
            LAG_S,
            lambda: f"the challenger lags: of {tally.labels} labels of {tally.model} it has taken {seen}",
        )

    async def _decided(self, model: str) -> None:
        partition = self._follower.partition_of(model)
        if partition is None:
            raise DemoFailed(f"the controller has decided nothing about {model}, not even its registration")
        end = await asyncio.to_thread(self._follower.end_of, topics.CONTROL, partition)
        if end <= self._folded.get(model, -1):
            return
        place = str(partition)

        async def folded() -> bool:
            return int((await self._controller.newest()).get("control", {}).get(place, 0)) >= end

        await self._until(folded, LAG_S, lambda: f"the controller lags: it has not folded control-{place} up to {end}")
        # A committed transaction is read a moment later than its commit returns: wait for the very decision and route.
        told = await self._controller.newest()
        decided = told.get("decided", {}).get(place)
        route = int(told.get("generations", {}).get(model, 0)), int(told.get("revisions", {}).get(model, 0))

        async def seen() -> bool:
            return self._follower.has_seen(model, decided, route)

        if decided is not None:  # a controller that was restarted has decided nothing yet
            await self._until(
                seen, LAG_S, lambda: f"decision {decided} of {model} is not to be read in {topics.DECISIONS}-{place}"
            )
        self._folded[model] = end

    async def _routed(self, tally: Tally) -> None:
        model = tally.model
        route = self._follower.routes.get(model)
        if route is None:
            return
        before, now = self._taken.get(model, (-1, -1)), (route.generation, route.revision)
        if now <= before:
            return

        async def served() -> bool:
            try:
                document = await self._serving.get_json(f"/v1/models/{model}")
            except Unreachable:
                return False
            return (int(document["generation"]), int(document["revision"])) >= now

        await self._until(served, LAG_S, lambda: f"serving lags: it has not taken route {now} of {model}")
        self._taken[model] = now
        if now[0] > before[0]:
            self._routed_at[model] = tally.answered

    def _run_over(self, model: str, run: str) -> Callable[[], Awaitable[bool]]:
        async def over() -> bool:
            return self._follower.open_runs.get(model) != run

        return over

    async def _until(self, reached: Callable[[], Awaitable[bool]], bound_s: float, lags: Callable[[], str]) -> None:
        deadline = time.monotonic() + bound_s
        while not await reached():
            if time.monotonic() > deadline:
                raise DemoFailed(f"{lags()} after {bound_s:g} s; read its log")
            await asyncio.sleep(LOOK_EVERY_S / 3)
