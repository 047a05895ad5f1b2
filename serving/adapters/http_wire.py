"""What the endpoints share of HTTP: bounded reading of a body, and answers as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from serving.body import BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON: Final = b"application/json"
RETRY_AFTER_S: Final = 1
BODY_TIMEOUT_S: Final = 10.0


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused."""

    code: str
    message: str
    field: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One refused entry of a request."""

    index: int
    reason: str


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of every answer that is not 2xx."""

    error: Problem
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, ready to be sent."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


_encoder = msgspec.json.Encoder()


def answer(body: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(status, _encoder.encode(body))


def refusal(error: BadRequest) -> Response:
    """The answer to a request that the client must change."""
    problem = Problem(code=error.code, message=error.message, field=error.field)
    # After these the rest of the body may still be on its way: the connection is of no more use.
    headers = ((b"connection", b"close"),) if error.status in (408, 413) else ()
    return Response(error.status, _encoder.encode(ErrorBody(error=problem)), headers=headers)


def unavailable(code: str, message: str) -> Response:
    """503: the client should send the same again."""
    headers = ((b"retry-after", str(RETRY_AFTER_S).encode()),)
    return Response(503, _encoder.encode(ErrorBody(error=Problem(code=code, message=message))), headers=headers)


async def send_response(send: Send, response: Response) -> None:
    """Write the answer."""
    length = str(len(response.body)).encode()
    headers = [(b"content-type", response.content_type), (b"content-length", length), *response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def read_json(scope: Scope, receive: Receive, most_bytes: int) -> bytes:
    """The body of a JSON request. Raises BadRequest (408, 413, 415) and ClientGone."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    kind = headers.get(b"content-type", JSON).split(b";", 1)[0].strip().lower()
    if kind != JSON:
        message = f"the body must be application/json, got {kind.decode('latin-1')[:80]!r}; set the content-type header."
        raise BadRequest("wrong_content_type", message, status=415)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BadRequest("wrong_content_encoding", "compressed bodies are not taken; send it plain.", status=415)
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read(receive, most_bytes)
    except TimeoutError as error:
        raise BadRequest("too_slow", f"the body did not arrive within {BODY_TIMEOUT_S:g} s.", status=408) from error


async def _read(receive: Receive, most_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most_bytes: int) -> BadRequest:
    return BadRequest("too_large", f"the body is larger than {most_bytes} bytes; send fewer rows at once.", status=413)
