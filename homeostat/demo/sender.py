"""Sends one stream: rows as HTTP requests, several in flight, labels behind them, never ahead of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import numpy as np

from homeostat.demo.calendar import LABEL_LAG, REQUEST_ROWS, next_stop, requests, row_at
from homeostat.demo.failed import DemoFailed
from homeostat.demo.http_client import HttpClient, Unreachable
from homeostat.demo.step import StepKeeper
from homeostat.demo.tally import Tally
from homeostat.demo_policy import LABEL_DELAY_ROWS
from homeostat.electricity import FEATURES

LABEL_TRIES: Final = 20
LABEL_PAUSE_S: Final = 0.5


class _Prediction(msgspec.Struct):
    id: str
    value: float


class _Answer(msgspec.Struct):
    predictions: list[_Prediction]


class _Accepted(msgspec.Struct):
    accepted: int


class Sender:
    """One model's stream. Labels of several requests travel together, as they become known."""

    def __init__(
        self,
        tally: Tally,
        client: HttpClient,
        keeper: StepKeeper,
        generator: np.random.Generator,
        acts: Mapping[int, Callable[[], Awaitable[None]]] | None = None,
    ) -> None:
        """`acts`: by row, what is to happen once everything before it is counted."""
        self._acts = dict(acts or {})
        self._tally = tally
        self._client = client
        self._keeper = keeper
        self._generator = generator
        self._answers = msgspec.json.Decoder(_Answer)
        self._label_from = tally.start

    async def run(self) -> None:
        """Send everything, in step with the loop; return once all of it is counted. Raises DemoFailed."""
        row = self._tally.start
        while row < self._tally.stop:
            act = min((at for at in self._acts if at > row), default=self._tally.stop)
            end = min(self._tally.stop, act, next_stop(row, self._keeper.tried_since(self._tally.model)))
            await self._stretch(row, end)
            row = end
            if row == self._tally.stop:
                await self._send_labels(self._tally.stop)
            await self._keeper.catch_up(self._tally)
            if row in self._acts:
                await self._acts[row]()

    async def _stretch(self, start: int, stop: int) -> None:
        async with asyncio.TaskGroup() as group:
            for first, last in requests(start, stop, self._generator):
                group.create_task(self._predict(first, last))
        await self._send_labels(self._tally.answered - LABEL_DELAY_ROWS)

    async def _predict(self, first: int, last: int) -> None:
        columns = self._tally.columns
        rows = [dict(zip(FEATURES, values, strict=True)) for values in columns.features[first:last].tolist()]
        body = msgspec.json.encode({"rows": rows, "at": [row_at(row) for row in range(first, last)]})
        path = f"/v1/models/{self._tally.model}:predict"
        try:
            status, answer = await self._client.post(path, body)
        except Unreachable as error:
            raise DemoFailed(f"serving: {error}; read its log") from error
        if status != 200:
            raise DemoFailed(f"serving answered {status} to a predict request: {answer[:300].decode(errors='replace')}")
        for row, prediction in enumerate(self._answers.decode(answer).predictions, first):
            self._tally.take_answer(row, prediction.id, int(prediction.value))
        await self._send_labels(self._tally.answered - LABEL_DELAY_ROWS, only_full=True)

    async def _send_labels(self, until: int, *, only_full: bool = False) -> None:
        """Labels of all rows before `until` that have not been sent, at most REQUEST_ROWS in a request."""
        sends = []
        while self._label_from < until and not (only_full and until - self._label_from < REQUEST_ROWS):
            first, self._label_from = self._label_from, min(until, self._label_from + REQUEST_ROWS)
            sends.append(self._label(first, self._label_from))
        await asyncio.gather(*sends)

    async def _label(self, first: int, last: int) -> None:
        tally = self._tally
        labels = [
            {"id": tally.ids[row], "label": tally.outcome(row), "at": row_at(row) + LABEL_LAG} for row in range(first, last)
        ]
        body = msgspec.json.encode({"labels": labels})
        for _ in range(LABEL_TRIES):
            try:
                status, answer = await self._client.post("/v1/labels", body)
            except Unreachable as error:
                raise DemoFailed(f"serving: {error}; read its log") from error
            if status == 200:
                tally.labels += msgspec.json.decode(answer, type=_Accepted).accepted
                tally.labelled = max(tally.labelled, last)
                return
            if status != 503:
                break
            await asyncio.sleep(LABEL_PAUSE_S)  # the broker is away: nothing was taken, the same labels again
        raise DemoFailed(f"serving answered {status} to labels: {answer[:300].decode(errors='replace')}")
