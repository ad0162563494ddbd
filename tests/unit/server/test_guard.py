"""The door: who is let in, who is not, and with which words."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from stigmer_cli.server.guard import BODY_MAX, BODY_READ_MAX, Guard
from stigmer_cli.server.hosts import AllowedHosts

TOKEN = "right"
MIB = 1024 * 1024
GOOD = {"authorization": "Bearer right", "host": "127.0.0.1:7234"}


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({"size": len(await request.body())})


EVENTS = Route("/v1/events", _echo, methods=["POST"])


async def _ask(
    method: str, path: str, headers: Mapping[str, str], content: bytes = b"", token: str | None = TOKEN
) -> httpx.Response:
    inner = Starlette(routes=[Route("/livez", _echo), Route("/v1/x", _echo, methods=["GET", "POST"]), EVENTS])
    app = Guard(inner, hosts=AllowedHosts(7234), token=lambda: token)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:7234") as http:
        return await http.request(
            method, path, headers={name.encode(): value.encode() for name, value in headers.items()}, content=content
        )


async def test_the_right_token_from_the_right_host_is_let_in() -> None:
    assert (await _ask("GET", "/v1/x", GOOD)).status_code == 200


async def test_livez_needs_no_token() -> None:
    assert (await _ask("GET", "/livez", {"host": "localhost:7234"})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"host": "127.0.0.1:7234"}, 401, "refused"),
        (GOOD | {"authorization": "Bearer wrong"}, 401, "refused"),
        (GOOD | {"authorization": "Basic right"}, 401, "refused"),
        (GOOD | {"authorization": "right"}, 401, "refused"),
        (GOOD | {"authorization": "Bearer r\u00efght"}, 401, "refused"),
        (GOOD | {"host": "evil.example"}, 421, "wrong-host"),
        (GOOD | {"host": "127.0.0.1:1"}, 421, "wrong-host"),
        (GOOD | {"origin": "http://evil.example"}, 403, "foreign-origin"),
        (GOOD | {"origin": "null"}, 403, "foreign-origin"),
        (GOOD | {"sec-fetch-site": "cross-site"}, 403, "foreign-origin"),
    ],
)
async def test_everybody_else_is_refused_with_a_problem(headers: dict[str, str], status: int, code: str) -> None:
    response = await _ask("GET", "/v1/x", headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


async def test_two_hosts_or_a_target_that_names_one_are_no_request() -> None:
    reached: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI application
        reached.append(scope["path"])

    async def asked(path: str, *hosts: bytes) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = [(b"host", host) for host in hosts]
        await Guard(inner, hosts=AllowedHosts(7234), token=lambda: TOKEN)(
            {"type": "http", "method": "GET", "path": path, "headers": headers}, receive, send
        )
        return int(sent[0]["status"]) if sent else 0

    ours = b"127.0.0.1:7234"
    assert await asked("/livez", ours, b"evil.example") == 400
    assert await asked("/livez", ours, ours) == 400
    assert await asked("/livez") == 400
    assert await asked("http://evil.example/livez", ours) == 400
    assert reached == []
    assert await asked("/livez", ours) == 0
    assert reached == ["/livez"]


async def test_without_a_token_of_its_own_the_server_lets_nobody_in() -> None:
    assert (await _ask("GET", "/v1/x", GOOD | {"authorization": "Bearer "}, token=None)).status_code == 401


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 200),
        (b"{}", "application/json; charset=utf-8", 200),
        (b"{}", "text/plain", 415),
        (b"", "text/plain", 200),
        (b"[" * 65 + b"]" * 65, "application/json", 400),
        (b"[" * 64 + b"]" * 64, "application/json", 200),
        (b'["' + b"[" * 500 + b'"]', "application/json", 200),
        (b'["\\"' + b"[" * 500 + b'"]', "application/json", 200),
        (b'["' + b'\\\\\\"' * (MIB // 2) + b'[["]', "application/json", 200),
        (b'["' + b"x" * (MIB - 3) + b'\\\\"' + b"[" * 500, "application/json", 400),
        (b"[[]," * 200 + b"]" * 200, "application/json", 400),
        (b" " * (BODY_MAX + 1), "application/json", 413),
        (b" " * BODY_MAX, "application/json", 200),
    ],
)
async def test_bodies_are_json_of_bounded_size_and_depth(content: bytes, kind: str, status: int) -> None:
    assert (await _ask("POST", "/v1/x", GOOD | {"content-type": kind}, content)).status_code == status


async def _send(mebibytes: int, headers: dict[str, str] | None = None) -> tuple[int, int]:
    """The status of so long a body, sent in pieces, and how many of its MiB were taken."""
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(mebibytes):
            yield b" " * MIB
            taken += 1

    app = Guard(Starlette(), hosts=AllowedHosts(7234), token=lambda: TOKEN)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:7234") as http:
        json = {"content-type": "application/json"}
        response = await http.post("/v1/x", headers=GOOD | json | (headers or {}), content=pieces())
    return response.status_code, taken


async def test_a_body_without_a_declared_length_is_bounded_too_and_taken_to_its_end() -> None:
    assert await _send(6) == (413, 6), "who is still sending would not hear the answer"


async def test_a_body_without_an_end_is_left_in_the_middle() -> None:
    assert await _send(1000) == (413, BODY_READ_MAX // MIB)


async def test_a_body_that_says_how_much_too_long_it_is_is_not_read_at_all() -> None:
    assert await _send(70, {"content-length": str(70 * MIB)}) == (413, 0)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"\x00[[", "image/png", 200),
        (b"{}", "application/cloudevents+json", 200),
        (b"[" * 65 + b"]" * 65, "application/cloudevents-batch+json; charset=utf-8", 400),
        (b"x" * (BODY_MAX + 1), "text/plain", 413),
    ],
)
async def test_an_event_may_be_of_any_kind_and_no_other_request(body: bytes, kind: str, status: int) -> None:
    assert (await _ask("POST", "/v1/events", GOOD | {"content-type": kind}, body)).status_code == status
    assert (await _ask("POST", "/v1/x", GOOD | {"content-type": kind}, body)).status_code in (413, 415)
