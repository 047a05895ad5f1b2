"""What serving says of a model, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import quote

from config.settings import Settings
from homeostat.roles import SERVE


def model_document(settings: Settings, model: str, timeout_s: float = 2.0) -> dict[str, Any] | None:
    """What GET /v1/models/{model} answers; None when serving is away or does not serve it."""
    host, port = SERVE.address(settings)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", f"/v1/models/{quote(model, safe='')}")
        response = connection.getresponse()
        if response.status != http.client.OK:
            return None
        document = json.loads(response.read())
        return document if isinstance(document, dict) else None
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        return None
    finally:
        connection.close()


def wait_served(settings: Settings, model: str, generation: int, timeout_s: float, champion: str = "") -> dict[str, Any] | None:
    """Serving's document once it has the model's route of that generation or a later one (and that champion, where one is
    named); None when that takes too long."""
    deadline = time.monotonic() + timeout_s
    while True:
        document = model_document(settings, model)
        if (
            document is not None
            and int(document.get("generation", -1)) >= generation
            and champion in ("", document.get("champion"))
        ):
            return document
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.1)
