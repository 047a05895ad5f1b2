"""POST /v1/models/{model}:predict: rows in, predictions out; the events follow when the client has its answer."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from serving.adapters.engine import Engine
from serving.adapters.event_log import EventLog
from serving.adapters.http_wire import Response, answer, unavailable
from serving.adapters.live import LiveRoute
from serving.adapters.sequence import Sequence
from serving.adapters.serving_meters import ServingMeters
from serving.body import Limits
from serving.prediction import Answering, ArmOutcomes, RowAnswered, predicted, rows_answered, sealed
from serving.request import RowsAsked
from serving.router import CHAMPION, answering_arm, derived_key, entity_hash, rolling, unit_of
from streams.prediction_id import Sealer


class Prediction(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """What the client gets for one row. `id` goes back with the label."""

    id: str
    value: float
    class_: str | None
    probability: float | None
    flags: tuple[str, ...]


class Predictions(msgspec.Struct, frozen=True):
    """Body of the answer."""

    model: str
    release: str
    generation: int
    predictions: list[Prediction]


class Answered:
    """A request's answer and the events that are still to be posted."""

    __slots__ = ("_asked", "_common", "_entities", "_ids", "_rows", "response")

    def __init__(
        self,
        *,
        response: Response,
        common: Answering,
        asked: RowsAsked,
        entities: Rows[str],
        rows: Rows[RowAnswered],
        ids: Rows[str],
    ) -> None:
        self.response = response
        self._common = common
        self._asked = asked
        self._entities = entities
        self._rows = rows
        self._ids = ids

    def post(self, events: EventLog, value_key: bytes) -> None:
        """Queue one event per row."""
        for index, row in enumerate(self._rows):
            entity = self._entities[index]
            identity = self._ids[index]
            events.post(predicted(self._common, index, self._asked, row, identity=identity, entity=entity, key=value_key))


class PredictEndpoint:
    """Answers predict requests; belongs to one event loop."""

    def __init__(self, engine: Engine, sealer: Sealer, secret: bytes, limits: Limits, meters: ServingMeters) -> None:
        self._engine = engine
        self._sealer = sealer
        self._salt = derived_key(secret, b"routing")
        self._entity_key = derived_key(secret, b"entity")
        self._limits = limits
        self._meters = meters
        self._sequence = Sequence()

    async def predict(self, live: LiveRoute, body: bytes) -> Answered | Response:
        """The answer to a body under the route in force when it came. Raises BadRequest."""
        now = datetime.now(UTC)
        asked = _with_fallback_told(live, live.schema.parse(body, now, self._limits))
        count = len(asked.rows)
        entities = [entity_hash(self._entity_key, entity) for entity in asked.entities]
        epoch, first = self._sequence.take(count)
        wanted = self._wanted(live, asked, entities, epoch, first)
        arms = await self._engine.score(live, asked.rows, frozenset(wanted) - {CHAMPION})
        self._meters.count_failures(live.route.model, arms)
        rows = rows_answered(wanted, arms)
        if rows is None:
            return unavailable("no_answer", f"no release of {live.route.model} gave a valid answer: {_failures(arms)}.")
        self._meters.count_rows(live.route.model, rows)
        common = Answering(
            route=live.route,
            contract=live.champion.contract,
            contract_digest=live.champion.contract_digest,
            privacy=live.privacy,
            quarantine=live.quarantine,
            epoch=epoch,
            first=first,
            issued=now,
        )
        seal = self._sealer.seal
        ids = [seal(sealed(common, index, asked, row)) for index, row in enumerate(rows)]
        response = answer(_body(live, asked, rows, ids))
        return Answered(response=response, common=common, asked=asked, entities=entities, rows=rows, ids=ids)

    def _wanted(self, live: LiveRoute, asked: RowsAsked, entities: Rows[str], epoch: int, first: int) -> list[str]:
        route = live.route
        if not rolling(route):
            return [CHAMPION] * len(entities)
        return [
            CHAMPION
            if live.quarantine.replaces(flags)
            else answering_arm(route, self._salt, unit_of(entity, epoch, first + index))
            for index, (entity, flags) in enumerate(zip(entities, asked.flags, strict=True))
        ]


def _with_fallback_told(live: LiveRoute, asked: RowsAsked) -> RowsAsked:
    flags = live.quarantine.told(asked.flags)
    return asked if flags is asked.flags else replace(asked, flags=flags)


def _body(live: LiveRoute, asked: RowsAsked, rows: Rows[RowAnswered], ids: Rows[str]) -> Predictions:
    classes = live.champion.contract.target.classes
    predictions = []
    for row, identity, flags in zip(rows, ids, asked.flags, strict=True):
        value, confidence = row.chosen.value, row.chosen.confidence
        if live.quarantine.replaces(flags):
            value, confidence = live.quarantine.fallback, None
        assert value is not None
        name = classes[int(value)] if classes else None
        predictions.append(Prediction(identity, value, name, confidence, flags))
    return Predictions(live.route.model, live.route.champion, live.route.generation, predictions)


def _failures(arms: Rows[ArmOutcomes]) -> str:
    said = {arm.arm: sorted({outcome for outcome in arm.outcomes if isinstance(outcome, str)}) for arm in arms}
    return "; ".join(f"{arm}: {', '.join(kinds)}" for arm, kinds in said.items() if kinds)
