"""A store, a cache beside it, and the installer of one serving process, without broker or HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving.adapters.live import LiveRoute, LiveRoutes
from serving.adapters.model_cache import ModelCache
from serving.adapters.route_installer import RouteInstaller
from serving.adapters.serving_meters import ServingMeters
from streams.adapters.prometheus import Meters
from streams.adapters.store import DirectoryStore
from streams.events import Route
from tests.integration.small_release import row

MODEL = "m"


class Place:
    """One serving process; `restarted` is the next."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = DirectoryStore(directory / "store")
        self.live = LiveRoutes()
        self.installer = RouteInstaller(ModelCache(directory / "cache", self.store), self.live, ServingMeters(Meters()))

    def restarted(self) -> Place:
        place = Place(self.directory)
        place.installer.start_from_cache()
        return place

    def install(self, generation: int, champion: str, **changes: object) -> None:
        values: dict[str, Any] = {"id": "r", "at": datetime(2024, 1, 1, tzinfo=UTC), "model": MODEL, "decision": "d"}
        self.installer.offer(Route(**(values | {"generation": generation, "champion": champion} | changes)))
        self.installer.install()

    def generation(self) -> int:
        live = self.live.get(MODEL)
        return 0 if live is None else live.route.generation

    def answers(self) -> bool:
        live = self.live.get(MODEL)
        return live is not None and len(live.champion.predictor.predict([row(1)])) == 1

    def blob(self, digest: str) -> Path:
        return self.directory / "cache" / "sha256" / digest[:2] / digest[2:]

    def in_force(self) -> LiveRoute:
        live = self.live.get(MODEL)
        assert live is not None
        return live
