"""A serving process on the real log, seen from all sides: its HTTP, what it wrote, and the routes that it follows."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from config.settings import Settings
from streams import topics
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.secret import load_or_create_key
from streams.adapters.store import DirectoryStore
from streams.codec import decode_data_plane, encode_json
from streams.events import Labelled, ModelRegistered, Predicted, Record, Route
from streams.policy import Policy
from streams.ports import LogUnavailable, Message, Outgoing
from streams.prediction_id import Sealer
from tests.integration.role_process import RoleProcess, free_port, wait_for
from tests.integration.small_release import put_release

NOWHERE = "127.0.0.1:1"
"""Where no broker listens."""


class ServingDesk:
    """One data directory with its serving process. `close` leaves nothing running."""

    def __init__(self, bootstrap: str, data: Path, **settings: object) -> None:
        self.model = f"m-{uuid4().hex[:8]}"
        self.bootstrap = bootstrap
        self.settings = Settings(data=str(data), bootstrap_servers=bootstrap, serving_port=free_port(), **settings)  # type: ignore[arg-type]
        data.mkdir(parents=True, exist_ok=True)
        self.store = DirectoryStore(self.settings.store)
        self.sealer = Sealer(load_or_create_key(self.settings.secret_file))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.settings.serving_port}", timeout=30.0)
        self.process: RoleProcess | None = None
        self._writer = ConfluentWriter(bootstrap)
        self._starts = self._ends()
        self.champion = put_release(self.store, self.model)

    @property
    def log(self) -> str:
        """What the present process has logged."""
        return "" if self.process is None else self.process.log.read_text()

    def start(self, *, bootstrap: str | None = None) -> None:
        """Start serving, and return when it answers for whatever it knows."""
        settings = msgspec.structs.replace(self.settings, bootstrap_servers=bootstrap or self.bootstrap)
        self.process = RoleProcess("serve", settings)
        wait_for(lambda: self._get_quietly("/readyz") == 200, "serving is ready", 60.0)

    def close(self) -> None:
        if self.process is not None:
            self.process.close()
        self.http.close()
        self._writer.close(5.0)

    def lose_store(self) -> None:
        """As if nothing but the serving host were left."""
        shutil.rmtree(self.settings.store)

    def write(self, topic: str, record: Record, *, key: str = "") -> None:
        """Put a record on the log, under its model unless a key is given."""
        self._writer.write([Outgoing(topic=topic, key=(key or record.model).encode(), value=encode_json(record))], 10.0)

    def register(self, **policy: Any) -> None:
        """Write the registration of the model; what its policy does not name is logged as served."""
        common = {"at": datetime.now(UTC), "model": self.model, "actor": "test", "reason": "test"}
        record = ModelRegistered(
            id=f"{self.model}-1",
            release=self.champion,
            contract="",
            policy=Policy(**policy),
            **common,  # type: ignore[arg-type]
        )
        self.write(topics.CONTROL, record)

    def publish(self, generation: int, **changes: object) -> None:
        """Write a route."""
        values: dict[str, Any] = {"id": f"route-{generation}", "at": datetime.now(UTC), "model": self.model, "decision": "d"}
        self.write(topics.ROUTES, Route(**(values | {"generation": generation, "champion": self.champion} | changes)))

    def publish_and_wait(self, generation: int, **changes: object) -> None:
        """Write a route and wait until it is in force."""
        self.publish(generation, **changes)
        wanted = (generation, changes.get("revision", 0))
        wait_for(lambda: self.in_force() == wanted, f"generation and revision {wanted} are in force")

    def generation(self) -> int:
        return self.in_force()[0]

    def in_force(self) -> tuple[int, int]:
        """Generation and revision of the route; zeros: there is none."""
        shown = self.shown()
        return int(shown.get("generation", 0)), int(shown.get("revision", 0))

    def shown(self) -> dict[str, Any]:
        """What serving says of the model."""
        response = self.http.get(f"/v1/models/{self.model}")
        shown: dict[str, Any] = response.json() if response.status_code == 200 else {}
        return shown

    def predict(self, body: object, **options: Any) -> httpx.Response:
        return self.http.post(f"/v1/models/{self.model}:predict", json=body, **options)

    def answered(self, *rows: dict[str, Any], **body: object) -> list[dict[str, Any]]:
        """Predictions of good rows."""
        response = self.predict({"rows": list(rows), **body})
        assert response.status_code == 200, response.text
        predictions: list[dict[str, Any]] = response.json()["predictions"]
        return predictions

    def label(self, *labels: dict[str, Any]) -> httpx.Response:
        return self.http.post("/v1/labels", json={"labels": list(labels)})

    def predictions(self) -> list[Predicted]:
        """What of this model stands in `predictions` since the desk was made."""
        found = [decode_data_plane(message.value) for message in self.messages(topics.PREDICTIONS)]
        return [record for record in found if isinstance(record, Predicted) and record.model == self.model]

    def labels(self) -> list[Labelled]:
        """What of this model stands in `labels`."""
        found = [decode_data_plane(message.value) for message in self.messages(topics.LABELS)]
        return [record for record in found if isinstance(record, Labelled) and record.model == self.model]

    def messages(self, topic: str) -> list[Message]:
        """Everything that was written to a topic since the desk was made."""
        reader = ConfluentReader(self.bootstrap)
        try:
            places = [place for place in self._starts if place[0] == topic]
            ends = reader.end_offsets(places)
            reader.assign({place: self._starts[place] for place in places})
            found: list[Message] = []

            def all_read() -> bool:
                found.extend(reader.poll(0.1, 10_000))
                return all(reader.position(place) >= ends[place] for place in places)

            wait_for(all_read, f"{topic} is read to its end")
            return found
        finally:
            reader.close()

    def _ends(self) -> dict[tuple[str, int], int]:
        places = [
            (name, number) for name in (topics.PREDICTIONS, topics.LABELS) for number in range(topics.named(name).partitions)
        ]
        found: dict[tuple[str, int], int] = {}
        reader = ConfluentReader(self.bootstrap)

        def told() -> bool:
            try:
                found.update(reader.end_offsets(places))
            except LogUnavailable:
                return False  # topics made a moment ago may have no leader yet
            return True

        try:
            wait_for(told, "the ends of the log are told")
            return found
        finally:
            reader.close()

    def _get_quietly(self, path: str) -> int:
        try:
            return self.http.get(path).status_code
        except httpx.TransportError:
            return 0
