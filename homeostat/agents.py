"""The agents role: windows in, drift signals, gathered losses and canary evidence out, hosted on Faust."""

from __future__ import annotations

import socket
import threading
from typing import Final

from prometheus_client import CollectorRegistry

from config.settings import Settings
from drift.adapters import faust_app
from homeostat.agents_meters import AgentsMeters
from homeostat.model_knowledge import ModelKnowledge
from homeostat.patience import Patience
from homeostat.policy_book import PolicyBook
from homeostat.window_folder import WindowFolder
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.crash_points import CrashOnce
from streams.adapters.prometheus import Meters
from streams.adapters.status_server import StatusServer
from streams.adapters.store import DirectoryStore
from streams.crash_points import NOWHERE, CrashPoints
from streams.ports import LogReader, LogWriter
from streams.release import BlobStore

CLOSE_S: Final = 2.0


def folder(
    *,
    windows: LogReader,
    control: LogReader,
    writer: LogWriter,
    store: BlobStore,
    meters: Meters,
    stop: threading.Event,
    crash: CrashPoints = NOWHERE,
) -> WindowFolder:
    """The desk, on any log: Faust brings it the windows of a broker, a loop those of an in-memory log."""
    told = AgentsMeters(meters)
    patience = Patience(stop, told.blocked)
    knowledge = ModelKnowledge(PolicyBook(control), store, patience)
    return WindowFolder(reader=windows, writer=writer, knowledge=knowledge, patience=patience, meters=told, crash=crash)


def run(settings: Settings, stop: threading.Event) -> None:
    """Fold windows until `stop`. Raises what ended it otherwise; started again, it repeats what is not known to be written."""
    registry = CollectorRegistry()
    windows, control = ConfluentReader(settings.bootstrap_servers), ConfluentReader(settings.bootstrap_servers)
    writer = ConfluentWriter(settings.bootstrap_servers, linger_ms=0.0)
    store = DirectoryStore(settings.store)
    crash = CrashOnce(settings.crash_at, settings.crashed)
    desk = folder(windows=windows, control=control, writer=writer, store=store, meters=Meters(registry), stop=stop, crash=crash)
    server = StatusServer(settings.agents_port, registry, desk.position)
    server.start()
    try:
        faust_app.serve(
            desk,
            bootstrap_servers=settings.bootstrap_servers,
            instance=f"agents-{socket.gethostname()}-{settings.agents_port}",
            directory=settings.root / "faust",
            stop=stop,
        )
    finally:
        server.stop()
        writer.close(CLOSE_S)
        control.close()
        windows.close()
