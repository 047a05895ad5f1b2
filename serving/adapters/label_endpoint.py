"""POST /v1/labels: all labels of a request are taken and acknowledged by the broker, or none is and the client hears why."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from serving.adapters.http_wire import ErrorBody, Problem, Refused, Response, answer, unavailable
from serving.adapters.live import LiveRoutes
from serving.adapters.serving_meters import ServingMeters
from serving.body import Limits
from serving.labels import LabelAsked, LabelRefused, judge, labelled, parse_labels
from streams.codec import encode_json
from streams.ports import LogWriter, Outgoing
from streams.prediction_id import Forged, Sealed, Sealer
from streams.topics import LABELS

REFUSED_NAMED: Final = 100
"""So many refused labels are listed in the answer."""


class _Acknowledgement:
    """Gathers the deliveries of one request; told from the writer's thread, awaited on the event loop."""

    def __init__(self, expected: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._left = expected
        self._failure: Exception | None = None
        self.future: asyncio.Future[Exception | None] = self._loop.create_future()

    def told(self, failure: Exception | None) -> None:
        """One delivery is known (a record that could not be queued is told on the loop's own thread)."""
        with self._lock:
            self._failure = self._failure or failure
            self._left -= 1
            last = self._left == 0
        if last:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.future.done():
            self.future.set_result(self._failure)


class LabelEndpoint:
    """Answers label requests; belongs to one event loop. Its writer gives up soon, as the client is waiting."""

    def __init__(
        self, *, writer: LogWriter, live: LiveRoutes, sealer: Sealer, horizon: timedelta, limits: Limits, meters: ServingMeters
    ) -> None:
        self._writer = writer
        self._live = live
        self._sealer = sealer
        self._horizon = horizon
        self._limits = limits
        self._meters = meters

    async def take(self, body: bytes) -> Response:
        """The answer to a body. Raises BadRequest."""
        now = datetime.now(UTC)
        asked = parse_labels(body, now, self._limits)
        taken, refused = self._judged(asked, now)
        if refused:
            return self._refuse(refused)
        failure = await self._write(taken)
        if failure is not None:
            return unavailable("log_unavailable", "the labels could not be written to the log; send the same request again.")
        for _, sealed in taken:
            self._meters.count_label(sealed.model)
        return answer({"accepted": len(taken)})

    def _judged(self, asked: Sequence[LabelAsked], now: datetime) -> tuple[list[tuple[LabelAsked, Sealed]], list[LabelRefused]]:
        models, contracts = self._live.models(), self._live.contracts()
        taken: list[tuple[LabelAsked, Sealed]] = []
        refused: list[LabelRefused] = []
        for label in asked:
            try:
                sealed = self._sealer.unseal(label.id)
            except Forged as error:
                refused.append(LabelRefused(index=label.index, reason="forged", message=f"no prediction id of ours: {error}"))
                continue
            refusal = judge(label, sealed, models=models, contracts=contracts, now=now, horizon=self._horizon)
            if refusal is None:
                taken.append((label, sealed))
            else:
                refused.append(refusal)
        return taken, refused

    def _refuse(self, refused: Sequence[LabelRefused]) -> Response:
        for reason, count in Counter(one.reason for one in refused).items():
            self._meters.count_refused(reason, count)
        first = refused[0]
        problem = Problem(code=first.reason, message=f"{first.field}: {first.message} Nothing was taken.", field=first.field)
        named = tuple(Refused(index=one.index, reason=one.reason) for one in refused[:REFUSED_NAMED])
        return answer(ErrorBody(error=problem, refused=named), status=422)

    async def _write(self, taken: Sequence[tuple[LabelAsked, Sealed]]) -> Exception | None:
        acknowledgement = _Acknowledgement(len(taken))
        for label, sealed in taken:
            record = Outgoing(topic=LABELS, key=label.id.encode(), value=encode_json(labelled(label, sealed)))
            if not self._writer.post(record, acknowledgement.told):
                acknowledgement.told(BufferError("the queue to the broker is full"))
        return await acknowledgement.future
