"""What a role says of itself over loopback HTTP: /metrics for Prometheus, /healthz, and /position for whoever waits for it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams.adapters.loopback import LOOPBACK

REQUEST_TIMEOUT_S: Final = 5.0
STOP_TIMEOUT_S: Final = 5.0

_log = logging.getLogger(__name__)

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


class StatusServer:
    """A small threaded server on loopback. Port 0: a free one, told by `port`."""

    def __init__(self, port: int, registry: CollectorRegistry, position: Callable[[], dict[str, Any]]) -> None:
        self._registry = registry
        self._position = position
        self._server = _Server((LOOPBACK, port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="status", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and let the port go."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(STOP_TIMEOUT_S)
        self._server.server_close()

    def _answer(self, path: str) -> Answer:
        match path.partition("?")[0]:
            case "/healthz":
                return 200, "text/plain; charset=utf-8", b"ok\n"
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
            case "/position":
                return 200, "application/json", msgspec.json.encode(self._position())
            case _:
                return 404, "text/plain; charset=utf-8", b"there are /healthz, /metrics and /position\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            """One request; a client that says nothing is let go."""

            timeout = REQUEST_TIMEOUT_S

            def do_GET(self) -> None:
                """Answer; the name is the library's."""
                status, kind, body = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Scrapes are not worth a line each."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Bind without asking a name server for our own name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # the library's signature
        """A client that went away is no event; anything else is a fault of ours that a person should see."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("a status request failed")
