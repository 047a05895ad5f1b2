"""A small HTTP/1.1 client on kept-alive connections: the sender must not be what limits the system it drives."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

TIMEOUT_S: Final = 30.0
_HEAD_LIMIT: Final = 64 * 1024


class Unreachable(Exception):
    """No answer from there; the message says from where and why."""


class HttpClient:
    """Requests to one server, at most `limit` at a time, each on a connection of its own that is used again."""

    def __init__(self, host: str, port: int, limit: int) -> None:
        self._host = host
        self._port = port
        self._free = asyncio.Semaphore(limit)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        return await self._request(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    async def get_json(self, path: str) -> dict[str, Any]:
        """The JSON object there. Raises Unreachable when there is none."""
        status, body = await self.get(path)
        if status != 200:
            raise Unreachable(f"http://{self._host}:{self._port}{path} answered {status}: {body[:200].decode(errors='replace')}")
        document: dict[str, Any] = json.loads(body)
        return document

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return await self._request(head.encode() + body)

    def close(self) -> None:
        """Close every idle connection."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _request(self, request: bytes) -> tuple[int, bytes]:
        async with self._free:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return await self._on_a_connection(request)
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                raise Unreachable(
                    f"http://{self._host}:{self._port} does not answer ({error or type(error).__name__})"
                ) from error

    async def _on_a_connection(self, request: bytes) -> tuple[int, bytes]:
        kept = bool(self._idle)
        reader, writer = self._idle.pop() if kept else await self._open()
        try:
            answer = await _exchange(reader, writer, request)
        except (OSError, EOFError):
            writer.close()
            if not kept:
                raise
            # The server closed a connection that had idled: nothing of the request was taken.
            reader, writer = await self._open()
            answer = await _exchange(reader, writer, request)
        except BaseException:
            writer.close()
            raise
        status, body, keep = answer
        if keep:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return status, body

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=_HEAD_LIMIT)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection may be used again."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return int(status), await _chunks(reader), keep
    if "content-length" in headers:
        return int(status), await reader.readexactly(int(headers["content-length"])), keep
    return int(status), await reader.read(), False


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)
