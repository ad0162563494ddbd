"""`call: asyncapi` over WebSocket, against a real server on loopback."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.runtime import Functions
from tests.support.polling import until_true
from tests.support.temporal_server import free_port
from tests.support.workflows import MemoryWorld, run_text

DOCUMENT = {
    "asyncapi": "3.0.0",
    "servers": {"rooms": {"host": "HOST", "pathname": "/v1", "protocol": "ws"}},
    "channels": {name: {"address": f"rooms/{name}"} for name in ("send", "refuse", "readings", "broken", "moved")},
    "operations": {
        name: {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        for name in ("send", "refuse", "readings", "broken", "moved")
    },
}


class Rooms:
    """Keeps what is sent to `send`, refuses who comes to `refuse`, and sends readings to `readings` and `broken`."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[tuple[str, str | bytes, dict[str, str]]] = []

    async def serve(self, connection: Any) -> None:
        path = connection.request.path
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        match path:
            case "/v1/rooms/send" | "/v1/rooms/open":
                async for content in connection:
                    self.heard.append((path, content, headers))
            case "/v1/rooms/refuse":
                await connection.close(1008, "not today")
            case _:
                for value in range(3):
                    await connection.send(json.dumps({"value": value}))
                await connection.send("no JSON")
                if path == "/v1/rooms/broken":
                    connection.transport.abort()

    def check(self, connection: Any, request: Any) -> Any:
        if request.path == "/v1/rooms/moved":
            response = connection.respond(302, "")
            response.headers["Location"] = f"ws://localhost:{self.port}/v1/rooms/open"
            return response
        allowed = request.path == "/v1/rooms/open" or request.headers.get("Authorization") == "Bearer t"
        return None if allowed else connection.respond(401, "who are you?\n")


@pytest.fixture
async def rooms() -> AsyncIterator[Rooms]:
    server = pytest.importorskip("websockets.asyncio.server")  # comes with an extra, and is in tests/requirements.lock
    rooms = Rooms()
    async with server.serve(rooms.serve, "127.0.0.1", 0, process_request=rooms.check) as serving:
        rooms.port = serving.sockets[0].getsockname()[1]
        yield rooms


class Caller:
    def __init__(self, evaluator: Evaluator, functions: Functions, file: Path) -> None:
        self.world = MemoryWorld()
        self.token = "t"
        self._evaluator, self._functions, self._file = evaluator, functions, file

    def write(self, port: int) -> None:
        self._file.write_text(json.dumps(DOCUMENT).replace("HOST", f"127.0.0.1:{port}"))

    async def call(self, operation: str, **given: Any) -> Any:
        arguments = {
            "document": {"endpoint": self._file.as_uri()},
            "operation": operation,
            "authentication": {"bearer": {"token": self.token}},
            **given,
        }
        text = f"do: [{json.dumps({'rooms': {'call': 'asyncapi', 'with': arguments}})}]"
        return await run_text(self._evaluator, text, {}, world=self.world, functions=self._functions)


@pytest.fixture
def caller(evaluator: Evaluator, functions: Functions, tmp_path: Path, rooms: Rooms) -> Caller:
    made = Caller(evaluator, functions, tmp_path / "rooms.json")
    made.write(rooms.port)
    return made


async def test_a_message_is_published_with_its_headers_in_the_handshake_once(caller: Caller, rooms: Rooms) -> None:
    message = {"payload": {"value": "é"}, "headers": {"X-Room": "a"}}
    assert await caller.call("send", message=message) is None
    assert await caller.call("send", message=message) is None, "what is recorded is not sent again"
    await until_true(lambda: rooms.heard)
    [(_, content, headers)] = rooms.heard
    assert content == '{"value":"é"}'
    assert (headers["x-room"], headers["authorization"]) == ("a", "Bearer t")
    assert len(headers["idempotency-key"]) > 10


async def test_a_redirect_shows_another_origin_nothing_that_tells_who_asks(caller: Caller, rooms: Rooms) -> None:
    await caller.call("moved", message={"payload": {"n": 1}, "headers": {"X-Room": "a"}})
    await until_true(lambda: rooms.heard)
    [(path, _, headers)] = rooms.heard
    assert path == "/v1/rooms/open"
    assert not headers.keys() & {"x-room", "authorization"}
    assert "idempotency-key" in headers


async def test_messages_are_taken_as_json_or_text(caller: Caller) -> None:
    taken = await caller.call("readings", subscription={"consume": {"amount": 4}})
    assert [one["payload"] for one in taken] == [{"value": 0}, {"value": 1}, {"value": 2}, "no JSON"]
    assert taken[0]["headers"] == {}


@pytest.mark.parametrize(
    ("operation", "given", "words"),
    [
        ("refuse", {"message": {"payload": {"n": 1}}}, "1008.* not today"),
        ("readings", {"subscription": {"consume": {"amount": 5}}}, "the service has ended the subscription"),
        ("broken", {"subscription": {"consume": {"amount": 5}}}, "/v1/rooms/broken: no close frame received or sent"),
        ("send", {"message": {"payload": {"n": 1}, "headers": {"X-Room": "a\r\nb: c"}}}, "/v1/rooms/send: invalid"),
    ],
)
async def test_what_the_server_does_not_take_or_ends_is_a_communication_error(
    operation: str, given: Any, words: str, caller: Caller
) -> None:
    with pytest.raises(WorkflowError, match=words) as caught:
        await caller.call(operation, **given)
    assert str(caught.value.fields["type"]).endswith("/communication")


async def test_a_server_that_refuses_or_is_not_there_says_so(caller: Caller) -> None:
    caller.token = "other"
    with pytest.raises(WorkflowError, match="HTTP 401") as caught:
        await caller.call("send", message={"payload": {"n": 1}})
    assert caught.value.fields["status"] == 401
    caller.world = MemoryWorld()
    caller.write(free_port())
    with pytest.raises(WorkflowError, match=r"ws://127\.0\.0\.1:\d+/v1/rooms/send: Connect call failed"):
        await caller.call("send", message={"payload": {"n": 1}})
