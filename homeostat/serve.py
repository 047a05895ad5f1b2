"""The serving role: HTTP in front, the log behind, and the last known routes on disk for when nothing else is there."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import uvicorn

from config.settings import Settings
from serving.adapters.engine import Engine, Waits
from serving.adapters.event_log import EventLog
from serving.adapters.http_app import HttpApp
from serving.adapters.label_endpoint import LabelEndpoint
from serving.adapters.live import LiveRoutes
from serving.adapters.model_cache import ModelCache
from serving.adapters.one_write import OneWriteProtocol
from serving.adapters.predict_endpoint import PredictEndpoint
from serving.adapters.route_follower import RouteFollower
from serving.adapters.route_installer import RouteInstaller
from serving.adapters.serving_meters import ServingMeters
from serving.body import Limits
from serving.router import derived_key
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.crash_points import CrashOnce
from streams.adapters.prometheus import Meters
from streams.adapters.secret import load_or_create_key
from streams.adapters.store import DirectoryStore
from streams.ports import LogWriter
from streams.prediction_id import Sealer

EVENT_TIMEOUT_S: Final = 1_800.0
"""How long an event waits for the broker; its queue is bounded in bytes long before."""
LABEL_TIMEOUT_S: Final = 3.0
"""How long a client waits to hear whether its labels were written."""
FOLLOW_TIMEOUT_S: Final = 3.0
"""How long the follower of routes waits for one answer of the broker before it begins again."""
LABEL_QUEUE_BYTES: Final = 16 * 2**20
LABEL_LINGER_MS: Final = 2.0
DRAIN_S: Final = 5.0
"""How long requests in flight may take once `stop` is set, and then the events that are still queued."""
CONNECTIONS: Final = 1_000
SWITCH_INTERVAL_S: Final = 0.0005
"""Python's default, 5 ms, is longer than an answer waits for an arm in another thread."""


class _Server(uvicorn.Server):
    """Leaves signals to the process: whoever runs the role sets `stop`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings, stop: threading.Event) -> None:
    """Serve until `stop`, then finish what is in flight and flush what is queued."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    brokers = settings.bootstrap_servers
    meters = Meters()
    serving_meters = ServingMeters(meters)
    live = LiveRoutes()
    crash = CrashOnce(settings.crash_at, settings.crashed)
    cache = ModelCache(settings.root / "serving-cache", DirectoryStore(settings.store), crash)
    installer = RouteInstaller(cache, live, serving_meters, crash)
    installer.start_from_cache()
    follower = RouteFollower(lambda: ConfluentReader(brokers, timeout_s=FOLLOW_TIMEOUT_S), installer)
    queue_bytes = settings.producer_queue_mib * 2**20
    events = EventLog(ConfluentWriter(brokers, queue_bytes=queue_bytes, message_timeout_s=EVENT_TIMEOUT_S), meters)
    labels = ConfluentWriter(brokers, queue_bytes=LABEL_QUEUE_BYTES, message_timeout_s=LABEL_TIMEOUT_S, linger_ms=LABEL_LINGER_MS)

    def ready() -> bool:
        return not stop.is_set() and (follower.caught_up or bool(live.models()))

    following = threading.Thread(target=follower.run, args=(stop,), name="route-follower", daemon=True)
    following.start()
    try:
        _serve(_application(settings, live=live, events=events, labels=labels, meters=meters, ready=ready), settings, stop)
    finally:
        stop.set()
        labels.close(DRAIN_S)
        events.close(DRAIN_S)
        following.join(DRAIN_S)


def _application(
    settings: Settings,
    *,
    live: LiveRoutes,
    events: EventLog,
    labels: LogWriter,
    meters: Meters,
    ready: Callable[[], bool],
) -> HttpApp:
    secret = load_or_create_key(settings.secret_file)
    sealer = Sealer(secret)
    limits = Limits()
    serving_meters = ServingMeters(meters)
    waits = Waits(answering=settings.deadline_ms / 1_000, watching=settings.shadow_wait_ms / 1_000)
    return HttpApp(
        live=live,
        predictions=PredictEndpoint(Engine(waits), sealer, secret, limits, serving_meters),
        labels=LabelEndpoint(
            writer=labels,
            live=live,
            sealer=sealer,
            horizon=timedelta(days=settings.label_horizon_days),
            limits=limits,
            meters=serving_meters,
        ),
        events=events,
        value_key=derived_key(secret, b"logged-value"),
        limits=limits,
        meters=serving_meters,
        registry=meters,
        ready=ready,
    )


def _serve(app: HttpApp, settings: Settings, stop: threading.Event) -> None:
    """Run the HTTP server in this thread until `stop`."""
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.serving_host,
            port=settings.serving_port,
            loop="uvloop",
            http=OneWriteProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=int(DRAIN_S),
        )
    )

    def end_when_asked() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=end_when_asked, name="stop-watch", daemon=True).start()
    server.run()
