"""The agents role: windows in, drift signals, gathered losses and canary evidence out, hosted on Faust."""

from __future__ import annotations

import socket
import threading
import time
from typing import Final

from prometheus_client import CollectorRegistry

from config.settings import Settings
from drift.adapters import faust_app
from homeostat.agents_meters import AgentsMeters
from homeostat.challenger_desk import ChallengerDesk, look_every_s
from homeostat.challenger_keeper import Bench
from homeostat.incident_book import IncidentBook
from homeostat.model_knowledge import ModelKnowledge
from homeostat.patience import Patience
from homeostat.policy_book import PolicyBook
from homeostat.served_rows import ServedRows
from homeostat.window_folder import WindowFolder
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.crash_points import CrashOnce
from streams.adapters.prometheus import Meters
from streams.adapters.status_server import StatusServer
from streams.adapters.store import DirectoryStore
from streams.crash_points import NOWHERE, CrashPoints
from streams.ports import LogReader, LogWriter
from streams.release import BlobStore
from trainer.adapters.lake_files import LakeFiles

CLOSE_S: Final = 2.0
STOP_S: Final = 15.0
"""How long a challenger that is at work is waited for: what it leaves half done is done again at the next start."""
LAKE_BYTES: Final = 128 * 2**20
"""Of lake files kept in memory."""
WAIT_LAKE_TICKS: Final = 3
WAIT_LEAST_S: Final = 10.0
"""How long a label file waits for predictions that are not in the lake yet: the more of the two."""


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


def challengers(
    settings: Settings,
    *,
    folder: WindowFolder,
    control: LogReader,
    writer: LogWriter,
    meters: Meters,
    crash: CrashPoints = NOWHERE,
) -> ChallengerDesk:
    """The challengers of the models that the folder knows, on the lake of these settings."""
    lake, told = LakeFiles(settings.lake, LAKE_BYTES), AgentsMeters(meters)
    bench = Bench(
        data=settings.root,
        lake=lake,
        served=ServedRows(lake),
        store=DirectoryStore(settings.store),
        wait_s=max(WAIT_LAKE_TICKS * settings.lake_tick_ms / 1_000, WAIT_LEAST_S),
        clock=time.monotonic,
        crash=crash,
        told=told,
    )
    return ChallengerDesk(models=folder.models, book=IncidentBook(control), writer=writer, bench=bench, meters=told)


def run(settings: Settings, stop: threading.Event) -> None:
    """Fold windows until `stop`. Raises what ended it otherwise; started again, it repeats what is not known to be written."""
    registry = CollectorRegistry()
    windows, control = ConfluentReader(settings.bootstrap_servers), ConfluentReader(settings.bootstrap_servers)
    writer = ConfluentWriter(settings.bootstrap_servers, linger_ms=0.0)
    store = DirectoryStore(settings.store)
    crash = CrashOnce(settings.crash_at, settings.crashed)
    desk = folder(windows=windows, control=control, writer=writer, store=store, meters=Meters(registry), stop=stop, crash=crash)
    words = ConfluentReader(settings.bootstrap_servers)
    scores = ConfluentWriter(settings.bootstrap_servers, linger_ms=0.0)
    beside = challengers(settings, folder=desk, control=words, writer=scores, meters=Meters(registry), crash=crash)
    server = StatusServer(settings.agents_port, registry, lambda: {**desk.position(), "challenged": beside.position()})
    server.start()
    stopping = threading.Event()
    thread = threading.Thread(
        target=beside.run, args=(stopping, look_every_s(settings.lake_tick_ms)), name="challengers", daemon=True
    )
    thread.start()
    try:
        faust_app.serve(
            desk,
            bootstrap_servers=settings.bootstrap_servers,
            instance=f"agents-{socket.gethostname()}-{settings.agents_port}",
            directory=settings.root / "faust",
            stop=stop,
        )
    finally:
        stopping.set()
        thread.join(STOP_S)
        server.stop()
        scores.close(CLOSE_S)
        words.close()
        writer.close(CLOSE_S)
        control.close()
        windows.close()
