"""The transport over plain TCP against servers that answer in every way a server may, and in some that it may not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from stigmer_cli import plain_transport
from stigmer_cli.plain_transport import CONNECTIONS_MAX, PlainTransport, Wire
from stigmer_cli.stack.http_get import http_get

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SHORT = httpx.Timeout(0.2)


class Server:
    """What answers, and how many connections it has seen."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.connections, self.port = answer, 0, 0
        self.transport = PlainTransport("127.0.0.1", 0)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    """A server that answers each request so, and a client of it."""
    server = Server(answer)
    listener = await asyncio.start_server(server.take, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    server.transport = PlainTransport("127.0.0.1", server.port)
    async with (
        listener,
        httpx.AsyncClient(
            transport=server.transport, base_url=f"http://127.0.0.1:{server.port}", timeout=httpx.Timeout(5.0)
        ) as client,
    ):
        yield server, client


def write(text: bytes) -> Answer:
    """Answer with these bytes, whatever was asked."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    return answer


def write_and_close(text: bytes) -> Answer:
    """Answer with these bytes, and close."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: 1\r\n\r\nhi"


async def test_a_connection_takes_one_request_after_another() -> None:
    async with serving(write(OK)) as (server, client):
        answers = [await client.get("/") for _ in range(3)]
    assert [(answer.status_code, answer.text, answer.headers["x-one"]) for answer in answers] == [(200, "hi", "1")] * 3
    assert server.connections == 1


async def test_requests_at_once_have_a_connection_each() -> None:
    async with serving(write(OK)) as (server, client), asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(client.get("/"))
    assert server.connections == 5


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    async with serving(write_and_close(OK)) as (server, client):
        assert (await client.get("/")).text == "hi"
        assert (await client.get("/")).text == "hi"
    assert server.connections == 2


async def test_a_connection_with_bytes_that_nobody_asked_for_is_not_used_again() -> None:
    async with serving(write(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as (server, client):
        assert [(await client.get("/")).text for _ in range(2)] == ["hi", "hi"]
    assert server.connections == 2


async def test_a_stream_is_given_piece_by_piece_as_it_comes() -> None:
    go_on = asyncio.Event()

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with serving(answer) as (server, client):
        async with client.stream("GET", "/") as response:
            pieces = response.aiter_bytes()
            assert await anext(pieces) == b"one"
            go_on.set()
            assert await anext(pieces) == b"two"
            assert [piece async for piece in pieces] == []
        await client.get("/")
    assert server.connections == 1


async def test_an_answer_of_which_not_all_was_read_ends_its_connection() -> None:
    async with serving(write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")) as (server, client):
        for _ in range(2):
            async with client.stream("GET", "/") as response:
                assert response.status_code == 200
    assert server.connections == 2


async def test_a_body_of_megabytes_arrives_whole() -> None:
    sent = b"x" * 4_000_000
    received: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(len(await reader.readexactly(len(sent))))
        writer.write(OK)

    async with serving(answer) as (_server, client):
        assert (await client.post("/", content=sent)).text == "hi"
    assert received == [len(sent)]


async def test_an_answer_of_megabytes_arrives_whole_however_slowly_it_is_read() -> None:
    sent = b"x" * 4_000_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n"
    async with serving(write(head + sent)) as (_server, client), client.stream("GET", "/") as response:
        await asyncio.sleep(0.05)
        assert b"".join([piece async for piece in response.aiter_bytes()]) == sent


async def test_an_answer_before_the_request_was_taken_is_read() -> None:
    async with serving(write_and_close(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")) as (_server, client):
        assert (await client.post("/", content=b"xx")).status_code == 413


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (write_and_close(b""), httpx.RemoteProtocolError),
        (write_and_close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), httpx.RemoteProtocolError),
        (write(b"SSH-2.0-OpenSSH\r\n\r\n"), httpx.RemoteProtocolError),
        (write(b""), httpx.ReadTimeout),
        (write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), httpx.ReadTimeout),
    ],
    ids=["closed", "broken off", "no HTTP", "silent", "silent in the middle"],
)
async def test_what_a_server_does_wrong_is_an_error_of_httpx(answer: Answer, error: type[Exception]) -> None:
    async with serving(answer) as (server, client):
        for _ in range(2):
            with pytest.raises(error):
                await client.get("/", timeout=SHORT)
        assert server.transport._room._value == CONNECTIONS_MAX
    assert server.connections == 2


async def test_where_nobody_listens_the_connection_is_refused() -> None:
    async with serving(write(OK)) as (server, _client):
        port = server.port
    async with httpx.AsyncClient(transport=PlainTransport("127.0.0.1", port)) as client:
        with pytest.raises(httpx.ConnectError, match="attempts failed"):
            await client.get(f"http://127.0.0.1:{port}/")


async def test_a_request_that_is_cancelled_closes_its_connection_and_frees_its_place() -> None:
    async with serving(write(b"")) as (server, client):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.get("/")
        assert server.transport._room._value == CONNECTIONS_MAX
        server.answer = write(OK)
        assert (await client.get("/")).text == "hi"
    assert server.connections == 2


async def test_a_request_waits_for_a_free_place_until_its_pool_limit() -> None:
    async with serving(write(b"")) as (server, client):
        for _ in range(CONNECTIONS_MAX):
            await server.transport._room.acquire()
        with pytest.raises(httpx.PoolTimeout):
            await client.get("/", timeout=SHORT)
    assert server.connections == 0


async def test_nothing_is_sent_where_the_greeting_fails() -> None:
    async def refuse(_wire: Wire) -> None:
        raise PermissionError("not to you")

    async with serving(write(OK)) as (server, _client):
        transport = PlainTransport("127.0.0.1", server.port, greet=refuse)
        async with httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(PermissionError):
                await client.get(f"http://127.0.0.1:{server.port}/")
        assert transport._room._value == CONNECTIONS_MAX


async def test_a_connection_that_met_an_older_demand_takes_no_request_any_more() -> None:
    demands = ["old"]
    async with serving(write(OK)) as (server, _client):
        transport = PlainTransport("127.0.0.1", server.port, demand=lambda: demands[-1])
        async with httpx.AsyncClient(transport=transport) as client:
            for _ in range(2):
                await client.get(f"http://127.0.0.1:{server.port}/")
            assert server.connections == 1
            demands.append("new")
            await client.get(f"http://127.0.0.1:{server.port}/")
        assert server.connections == 2


async def test_connections_that_are_not_used_again_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(write(OK)) as (server, client):
        await asyncio.gather(*(client.get("/") for _ in range(5)))
        assert len(server.transport._kept) == 5
        monkeypatch.setattr(plain_transport, "KEPT_S", 0.0)
        await client.get("/")
        monkeypatch.setattr(plain_transport, "KEPT_S", 5.0)
        assert len(server.transport._kept) == 1


async def test_an_answer_that_ends_after_the_transport_leaves_no_connection() -> None:
    async with serving(write(OK)) as (server, client), client.stream("GET", "/") as response:
        await server.transport.aclose()
        await response.aread()
        assert server.transport._kept == []


async def answer_and_close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    writer.close()


class LocalhostElsewhere:
    """A resolver that knows `localhost` by its IPv6 address only, as some machines do, or not at all."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, is_known: bool) -> None:
        self._resolve, self._is_known = loop.getaddrinfo, is_known

    async def __call__(self, host: str, port: int, **hints: int) -> object:
        if host == "localhost" and not self._is_known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await self._resolve("::1" if host == "localhost" else host, port, **hints)


@pytest.mark.parametrize("is_known", [True, False])
async def test_localhost_is_this_machine_whatever_the_system_takes_it_for(
    monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    loop = asyncio.get_running_loop()
    async with serving(answer_and_close) as (server, _):
        monkeypatch.setattr(loop, "getaddrinfo", LocalhostElsewhere(loop, is_known=is_known))
        url = f"http://localhost:{server.port}/livez"
        async with httpx.AsyncClient(transport=PlainTransport("localhost", server.port)) as client:
            assert (await client.get(url)).json() == {}
        assert (await http_get(url, None)).status == 200
    with pytest.raises(OSError, match="Connect call failed" if is_known else "Name or service not known"):
        await http_get(url, None)
