"""Rows and labels of one registered model, sent over HTTP; who sent them knows what must be counted."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from config.settings import Settings
from homeostat.chaos.crashes.materials import SMALL, TARGET, row, table
from homeostat.chaos.crashes.verdict import Unclean, require, until
from homeostat.registration import register_model
from homeostat.roles import SERVE
from homeostat.serving_client import model_document

EVERY: Final = timedelta(minutes=1)
"""Event time between two rows."""
REQUEST_ROWS: Final = 50
FIRST_ROW: Final = 10_000
"""Rows from here on: not those that the model was registered with."""
TIMEOUT_S: Final = 20.0


class Traffic:
    """A model, registered here, and its clients. Every row gets its label at once."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.model = model
        self.sent = 0
        self._settings = settings
        self._began = datetime.now(UTC) - timedelta(days=3)
        register_model(settings, model, table(), TARGET, SMALL, self._began)
        until(lambda: model_document(settings, model) is not None, lambda: f"{model} is served")

    def send(self, rows: int) -> None:
        """So many more rows with their labels, each acknowledged."""
        for first in range(self.sent, self.sent + rows, REQUEST_ROWS):
            self._request(range(first, min(first + REQUEST_ROWS, self.sent + rows)))
        self.sent += rows

    def _at(self, number: int) -> datetime:
        return self._began + EVERY * (number + 1)

    def _request(self, numbers: Sequence[int]) -> None:
        content = [row(FIRST_ROW + number) for number in numbers]
        times = [self._at(number) for number in numbers]
        path = f"/v1/models/{self.model}:predict"
        answer = self._post(path, {"rows": [features for features, _ in content], "at": [time.isoformat() for time in times]})
        labels = [
            {"id": made["id"], "label": label, "at": (time + EVERY / 2).isoformat()}
            for made, (_, label), time in zip(answer["predictions"], content, times, strict=True)
        ]
        taken = self._post("/v1/labels", {"labels": labels})
        require(taken["accepted"] == len(labels), f"of {len(labels)} labels {taken['accepted']} were taken")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        host, port = SERVE.address(self._settings)
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", path, msgspec.json.encode(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except OSError as error:
            raise Unclean(f"serving does not answer {path}: {error}") from error
        finally:
            connection.close()
        require(response.status == http.client.OK, f"serving answered {response.status} to {path}: {answer[:300]!r}")
        document: dict[str, Any] = msgspec.json.decode(answer)
        return document
