"""Starts and stops the local Ray: token authentication on, usage reports off, no dashboard, logs beside the data."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streams.adapters.store import write_durably
from trainer.trial import PoolFailed

OBJECT_STORE_BYTES: Final = 128 * 2**20
LONGEST_DIRECTORY: Final = 40
"""Ray appends 64 characters to name its sockets, and a socket's path ends at 107."""
KEPT_SESSIONS: Final = 2
"""Logs of so many earlier starts are kept."""
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    # Threads that spin while another process has the core made a fit of 0.1 s take 7 s.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPlace:
    """Where Ray runs. `directory` keeps the token, logs and sockets; `address` '' starts a local one with `cpus`."""

    directory: Path
    cpus: int = 1
    address: str = ""


def start(place: RayPlace) -> Path | None:
    """Start Ray, or join the cluster at the address. Returns a directory to remove at the end, if there is one. Raises PoolFailed."""
    place.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    sockets = _short_directory(place.directory)
    _set_environment(place.directory)
    with own_signal_handlers():
        import ray

        try:
            ray.init(**_options(place, sockets))
        # Ray raises bare Exceptions, RuntimeErrors and ConnectionErrors when one of its processes does not come up.
        except Exception as error:
            ray.shutdown()
            raise PoolFailed(f"Ray did not start: {error}. Its logs are under {sockets}/session_latest/logs.") from error
    return None if sockets == place.directory else sockets


def stop(temporary: Path | None) -> None:
    """Stop the local Ray, or leave the cluster."""
    import ray

    ray.shutdown()
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)


def version() -> str:
    """Ray's version."""
    import ray

    return str(ray.__version__)


def _options(place: RayPlace, sockets: Path) -> dict[str, Any]:
    common = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if place.address:
        return {"address": place.address, **common}
    return {
        "num_cpus": place.cpus,
        "num_gpus": 0,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(sockets),
        **common,
    }


def _short_directory(wanted: Path) -> Path:
    if len(str(wanted)) <= LONGEST_DIRECTORY:
        for old in sorted(wanted.glob("session_2*"))[:-KEPT_SESSIONS]:
            shutil.rmtree(old, ignore_errors=True)
        return wanted
    link = wanted / "elsewhere"
    if link.is_symlink():
        # Of a trainer that was killed.
        shutil.rmtree(link.resolve(), ignore_errors=True)
        link.unlink()
    short = Path(tempfile.mkdtemp(prefix="homeostat-ray-", dir="/tmp"))
    link.symlink_to(short)
    return short


def _set_environment(directory: Path) -> None:
    """Ray reads its settings from the environment, its own processes inherit it."""
    os.environ.update(_ENVIRONMENT)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(_token(directory))


def _token(directory: Path) -> Path:
    path = directory / "token"
    if not path.exists():
        write_durably(path, secrets.token_hex(32).encode())
    return path


@contextmanager
def own_signal_handlers() -> Iterator[None]:
    """Whatever is done within keeps its hands off them: Ray's handler of SIGTERM would end the role without its clean stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
