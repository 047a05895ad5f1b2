"""The HTTP surface of serving: one small ASGI application, a table of paths, no framework."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from serving.adapters.event_log import EventLog
from serving.adapters.http_wire import (
    ClientGone,
    Receive,
    Response,
    Scope,
    Send,
    answer,
    read_json,
    refusal,
    send_response,
    unavailable,
)
from serving.adapters.label_endpoint import LabelEndpoint
from serving.adapters.live import LiveRoute, LiveRoutes
from serving.adapters.predict_endpoint import Answered, PredictEndpoint
from serving.adapters.serving_meters import ServingMeters
from serving.body import BadRequest, Limits
from streams.adapters.prometheus import Meters
from streams.quarantine import flag_of

MODELS: Final = "/v1/models"
LABELS: Final = "/v1/labels"
PREDICT: Final = ":predict"
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

_log = logging.getLogger(__name__)


class HttpApp:
    """Routes requests to the endpoints; whatever goes wrong, the client hears it as JSON with a code."""

    def __init__(
        self,
        *,
        live: LiveRoutes,
        predictions: PredictEndpoint,
        labels: LabelEndpoint,
        events: EventLog,
        value_key: bytes,
        limits: Limits,
        meters: ServingMeters,
        registry: Meters,
        ready: Callable[[], bool],
    ) -> None:
        self._live = live
        self._predictions = predictions
        self._labels = labels
        self._events = events
        self._value_key = value_key
        self._limits = limits
        self._meters = meters
        self._registry = registry
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        began = time.perf_counter()
        path: str = scope["path"]
        endpoint = _endpoint(path)
        answered: Answered | Response
        try:
            answered = await self._dispatch(endpoint, path, scope, receive)
        except BadRequest as error:
            answered = refusal(error)
            if endpoint == "labels":
                self._meters.count_refused(error.code)
        except ClientGone:
            return
        except Exception:  # noqa: BLE001 - the client must hear something, and the log says what
            _log.exception("a request to %s failed", endpoint)
            answered = refusal(
                BadRequest("internal", "this request could not be answered; the log of serving says why.", status=500)
            )
        response = answered.response if isinstance(answered, Answered) else answered
        await send_response(send, response)
        self._meters.count_request(self._named(path), endpoint, response.status, time.perf_counter() - began)
        if isinstance(answered, Answered):
            answered.post(self._events, self._value_key)

    async def _dispatch(self, endpoint: str, path: str, scope: Scope, receive: Receive) -> Answered | Response:
        if endpoint == "predict":
            _only(scope, "POST")
            live = self._route_of(_model(path))
            if live is None:
                return _not_ready()
            return await self._predictions.predict(live, await read_json(scope, receive, self._limits.body_bytes))
        if endpoint == "labels":
            _only(scope, "POST")
            if not self._ready():
                return _not_ready()
            return await self._labels.take(await read_json(scope, receive, self._limits.body_bytes))
        if endpoint == "other":
            raise BadRequest("not_found", f"nothing here; there are {MODELS}/MODEL{PREDICT}, {LABELS}, {MODELS}.", status=404)
        _only(scope, "GET")
        return self._shown(endpoint, path)

    def _shown(self, endpoint: str, path: str) -> Response:
        """The answer to one who only looks."""
        match endpoint:
            case "model":
                live = self._route_of(_model(path))
                return _not_ready() if live is None else answer(_shown(live))
            case "models":
                return answer({"models": [_shown(live) for live in self._live.all()]})
            case "metrics":
                return Response(200, self._registry.exposition(), METRICS_TYPE)
            case "readyz" if not self._ready():
                return _not_ready()
        return answer({"status": "ok"})

    def _route_of(self, model: str) -> LiveRoute | None:
        """The route in force; None while routes are still unknown. Raises BadRequest where there is no such model."""
        live = self._live.get(model)
        if live is None and self._ready():
            known = ", ".join(sorted(self._live.models())) or "none yet"
            raise BadRequest("unknown_model", f"no model {model[:80]!r}; known are: {known}.", field="model", status=404)
        return live

    def _named(self, path: str) -> str:
        """The model in the path if it is served, else ''."""
        model = _model(path)
        return model if model in self._live.models() else ""


def _endpoint(path: str) -> str:
    """Which endpoint a path means; 'other': none."""
    if path.startswith(f"{MODELS}/"):
        name = path[len(MODELS) + 1 :]
        if "/" in name or not name.removesuffix(PREDICT):
            return "other"
        return "predict" if name.endswith(PREDICT) else "model"
    return {LABELS: "labels", MODELS: "models", "/healthz": "healthz", "/readyz": "readyz", "/metrics": "metrics"}.get(
        path, "other"
    )


def _model(path: str) -> str:
    return path[len(MODELS) + 1 :].removesuffix(PREDICT) if path.startswith(f"{MODELS}/") else ""


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise BadRequest("wrong_method", f"{scope['method']} is not taken here; use {method}.", status=405)


def _not_ready() -> Response:
    return unavailable("not_ready", "the routes are not known yet; try again.")


def _shown(live: LiveRoute) -> dict[str, object]:
    route = live.route
    failing = [side.arm for side in live.side_arms if side.lane is None or side.circuit.open]
    return {
        "model": route.model,
        "generation": route.generation,
        "revision": route.revision,
        "champion": route.champion,
        "candidate": route.candidate,
        "step": route.step,
        "share": route.share,
        "control": route.control,
        "quarantine": [flag_of(rule) for rule in route.quarantine if rule.until is None],
        "accepted": route.accepted,
        "not_answering": failing,
    }
