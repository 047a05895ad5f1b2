"""The demo's HTTP client against a server on loopback that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from homeostat.demo.http_client import HttpClient, Unreachable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Counts connections and requests; answers each request with the next of `answers`, then closes when told."""

    def __init__(self, answer: bytes, *, close_after: int = 1_000_000, delay_s: float = 0.0) -> None:
        self.connections = 0
        self.requests = 0
        self.at_once = 0
        self.most_at_once = 0
        self._answer = answer
        self._close_after = close_after
        self._delay_s = delay_s

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(self._close_after):
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.requests += 1
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await asyncio.sleep(self._delay_s)
                self.at_once -= 1
                writer.write(self._answer)
        except asyncio.IncompleteReadError:
            pass  # the client closed
        finally:
            writer.close()


def run(server: Server, talk: Callable[[HttpClient], Awaitable[None]], *, limit: int = 4) -> None:
    async def whole() -> None:
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
        client = HttpClient("127.0.0.1", listening.sockets[0].getsockname()[1], limit)
        try:
            await talk(client)
        finally:
            client.close()
            listening.close()

    asyncio.run(whole())


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'


def test_a_connection_is_used_again() -> None:
    server = Server(PLAIN)

    async def talk(client: HttpClient) -> None:
        for _ in range(5):
            assert await client.post("/x", b"body") == (200, b'{"a":1}')
        assert await client.get_json("/y") == {"a": 1}

    run(server, talk)
    assert (server.connections, server.requests) == (1, 6)


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    server = Server(PLAIN, delay_s=0.02)

    async def talk(client: HttpClient) -> None:
        await asyncio.gather(*(client.get("/") for _ in range(20)))

    run(server, talk, limit=3)
    assert server.most_at_once == 3


def test_a_connection_that_the_server_closed_while_idle_is_replaced() -> None:
    server = Server(PLAIN, close_after=1)

    async def talk(client: HttpClient) -> None:
        for _ in range(3):
            assert (await client.get("/"))[0] == 200

    run(server, talk)
    assert (server.connections, server.requests) == (3, 3)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde",
    ],
)
def test_bodies_come_whole_however_they_are_framed(answer: bytes) -> None:
    async def talk(client: HttpClient) -> None:
        for _ in range(2):
            assert await client.get("/") == (200, b"abcde")

    run(Server(answer), talk)


def test_nobody_there_is_said_with_the_address() -> None:
    async def whole() -> None:
        client = HttpClient("127.0.0.1", 1, 1)
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 does not answer"):
            await client.get("/")

    asyncio.run(whole())


def test_a_refusal_is_not_taken_for_a_document() -> None:
    async def talk(client: HttpClient) -> None:
        with pytest.raises(Unreachable, match="answered 404: gone"):
            await client.get_json("/position")

    run(Server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"), talk)
