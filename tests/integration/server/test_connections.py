"""Connections on which little is sent keep nobody out; those with the token, or with an answer under way, are kept."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from stigmer_cli.open_files import raise_files_limit
from stigmer_cli.server import connections
from stigmer_cli.server.connections import CONNECTIONS_MAX, HttpConnection
from stigmer_cli.server.guard import Guard
from stigmer_cli.server.hosts import AllowedHosts
from tests.support.polling import until_true
from tests.support.running_server import TOKEN, Served, served
from tests.support.temporal_server import free_port

IDLE = 600
KNOWN = f"Authorization: Bearer {TOKEN}\r\n"
RECEIVE_MAX_S = 0.3
LONGER_S = 0.6


def get(path: str, *, of: int, known: bool = True) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{of}\r\n{KNOWN if known else ''}\r\n".encode()


def post(length: int, *, to: int) -> bytes:
    head = f"POST /x HTTP/1.1\r\nHost: 127.0.0.1:{to}\r\n{KNOWN}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


def is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Status and body of one answer on a connection that stays open."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ") for line in head.split(b"\r\n")[1:] if line)
    return int(head.split()[1]), await reader.readexactly(int(fields[b"content-length"]))


async def test_idle_connections_of_strangers_are_closed_before_anybody_is_kept_out(tmp_path: Path) -> None:
    raise_files_limit()
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        kept = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await ask(*kept, get("/livez", of=server.port)))[0] == 200
        with ExitStack() as stack:
            idle = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(IDLE)]
            assert (await client.health()).pid == server_pid(server)
            closed = IDLE + 1 - CONNECTIONS_MAX  # all but one have not shown the token
            await until_true(lambda: sum(map(is_closed, idle[:closed])) == closed, "the oldest are closed")
            assert not any(map(is_closed, idle[-400:]))
            assert (await ask(*kept, get("/livez", of=server.port)))[0] == 200, "who showed the token is kept"
        kept[1].close()
        await kept[1].wait_closed()


def server_pid(server: Served) -> int:
    assert server.process is not None
    return server.process.pid


class Endpoint:
    """The guard and the connections of the server, before an application that answers late where it is told to."""

    def __init__(self) -> None:
        self.port = free_port()
        self.begun = 0
        self.let_go = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        body = (await receive()).get("body", b"") if scope["method"] == "POST" else b""
        answer = str(len(body)).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        if scope["path"] == "/late":
            await self.let_go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Close what was opened."""
        for writer in self.writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    monkeypatch.setattr(connections, "RECEIVE_MAX_S", RECEIVE_MAX_S)
    monkeypatch.setattr(connections, "BYTES_PER_S_MIN", 1_000)
    one = Endpoint()
    app = Guard(one, hosts=AllowedHosts(one.port, ()), token=lambda: TOKEN)
    config = uvicorn.Config(app, port=one.port, http=HttpConnection, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server._serve(), name="endpoint")
        await until_true(lambda: server.started, "it listens")
        yield one
        one.let_go.set()
        await one.close()
        server.should_exit = True
        await serving


async def test_a_connection_without_a_request_is_closed_in_silence(endpoint: Endpoint) -> None:
    reader, _writer = await endpoint.open()
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def begin(endpoint: Endpoint, part: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A connection on which the head of a request comes next, or its body."""
    reader, writer = await endpoint.open()
    if part == "body":
        writer.write(post(500, to=endpoint.port))
    return reader, writer, get("/x", of=endpoint.port)


@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_request_that_does_not_arrive_is_answered_with_a_problem(endpoint: Endpoint, part: str) -> None:
    reader, writer, text = await begin(endpoint, part)
    writer.write(text[:20])
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    assert head.split()[1] == b"408"
    assert json.loads(body)["code"] == "request-timeout"
    assert endpoint.begun == 0


@pytest.mark.parametrize("part", ["head", "body"])
async def test_the_deadline_is_for_the_whole_request_and_not_for_each_byte(endpoint: Endpoint, part: str) -> None:
    reader, writer, text = await begin(endpoint, part)
    sent = 0
    with suppress(ConnectionError):
        while not reader.at_eof() and sent < len(text) - 2:
            writer.write(text[sent : sent + 1])
            await writer.drain()
            sent += 1
            await asyncio.sleep(RECEIVE_MAX_S / 8)
    assert sent < len(text) - 2
    assert endpoint.begun == 0


async def test_a_long_body_that_keeps_coming_gets_its_time(endpoint: Endpoint) -> None:
    reader, writer = await endpoint.open()
    writer.write(post(2_000, to=endpoint.port))
    writer.write(b'"')
    for _ in range(10):
        writer.write(b"x" * 199)
        await asyncio.sleep(LONGER_S / 10)
    assert await ask(reader, writer, b"x" * 8 + b'"') == (200, b"2000")


async def test_an_answer_may_take_longer_than_a_request_and_the_connection_is_kept(endpoint: Endpoint) -> None:
    reader, writer = await endpoint.open()
    asyncio.get_running_loop().call_later(LONGER_S, endpoint.let_go.set)
    assert await ask(reader, writer, get("/late", of=endpoint.port)) == (200, b"0")
    await asyncio.sleep(LONGER_S)
    assert (await ask(reader, writer, get("/x", of=endpoint.port, known=False)))[0] == 401
    await asyncio.sleep(LONGER_S)
    assert await ask(reader, writer, get("/x", of=endpoint.port)) == (200, b"0")


async def test_a_new_connection_is_kept_where_all_others_have_shown_the_token(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client asks for a proof before it sends its token."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 4)
    monkeypatch.setattr(connections, "ROOM_FOR_NEW", 1)
    known = [await endpoint.open() for _ in range(4)]
    for reader, writer in known:
        assert (await ask(reader, writer, get("/x", of=endpoint.port)))[0] == 200
    new = await endpoint.open()
    assert await asyncio.wait_for(known[0][0].read(), 5) == b"", "the one that has waited longest is closed"
    newer = await endpoint.open()
    assert await asyncio.wait_for(known[1][0].read(), 5) == b""
    for reader, writer in (new, newer):
        assert (await ask(reader, writer, get("/x", of=endpoint.port)))[0] == 200


async def test_what_is_too_much_at_once_is_refused_with_a_problem_and_strangers_first(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 4)
    monkeypatch.setattr(connections, "ROOM_FOR_KNOWN", 2)
    late = [await endpoint.open() for _ in range(3)]
    for _reader, writer in late:
        writer.write(get("/late", of=endpoint.port))
    await until_true(lambda: endpoint.begun == 3, "they are answered")

    async def once(*, known: bool) -> bytes:
        reader, writer = await endpoint.open()
        writer.write(get("/late" if known else "/livez", of=endpoint.port, known=known))
        return await asyncio.wait_for(reader.readuntil(b"}"), 5)

    assert b" 503 " in await once(known=False)
    fourth = await endpoint.open()
    fourth[1].write(get("/late", of=endpoint.port))
    await until_true(lambda: endpoint.begun == 4, "there is room for who shows the token")
    refused = await once(known=True)
    assert b" 503 " in refused
    assert b"retry-after: 1\r\n" in refused
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["code"] == "server-busy"
    endpoint.let_go.set()
    for reader, _writer in [*late, fourth]:
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
