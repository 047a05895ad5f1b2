"""One local Ray for the whole test session: it takes seconds to start. Import the fixture where it is needed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trainer.adapters.ray_pool import RayPool
from trainer.adapters.ray_process import RayPlace


@dataclass
class RaySession:
    """The shared pool and how often it lost a worker."""

    pool: RayPool
    losses: list[int] = field(default_factory=list)


@dataclass
class _Shared:
    """Each folder that imports the fixture has one of its own in pytest's eyes; all of them share this."""

    session: RaySession | None = None
    directory: Path = Path()
    users: int = 0


_shared = _Shared()


@pytest.fixture(scope="session")
def ray_session() -> Iterator[RaySession]:
    """A warm pool with one worker."""
    if _shared.session is None:
        losses: list[int] = []
        _shared.directory = Path(tempfile.mkdtemp(prefix="hs-ray-", dir="/tmp"))
        pool = RayPool(RayPlace(directory=_shared.directory, cpus=1), lost=lambda: losses.append(1))
        _shared.session = RaySession(pool=pool, losses=losses)
    _shared.users += 1
    try:
        yield _shared.session
    finally:
        _shared.users -= 1
        if _shared.users == 0:
            _shared.session.pool.close()
            _shared.session = None
            shutil.rmtree(_shared.directory, ignore_errors=True)
