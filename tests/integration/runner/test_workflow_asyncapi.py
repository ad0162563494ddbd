"""`call: asyncapi` over HTTP, against a service on loopback, and over NATS, against its real server."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.runner.call import http_messages
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter import subscription
from stigmer_cli.workflow.interpreter.interpret import find_unsupported
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, Functions
from tests.support.http_service import Answer, Asked, Service, serve
from tests.support.temporal_server import free_port
from tests.support.workflows import MemoryWorld, read_one, run_text

NATS_SERVER = Path(sys.executable).with_name("nats-server")
READINGS = [{"room": room, "value": value} for value, room in enumerate("abab")]
VERSION_3 = {
    "asyncapi": "3.0.0",
    "servers": {
        "broker": {"host": "127.0.0.1:1", "protocol": "mqtt"},
        "web": {
            "host": "HOST",
            "pathname": "/{stage}",
            "protocol": "http",
            "variables": {"stage": {"default": "v1"}},
        },
        "bus": {"host": "127.0.0.1:BUS", "protocol": "nats"},
    },
    "channels": {
        "readings": {"address": "rooms/readings", "servers": [{"$ref": "#/servers/web"}]},
        "subject": {"address": "rooms.readings", "servers": [{"$ref": "#/servers/bus"}]},
        "old": {"address": "rooms", "servers": [{"$ref": "#/servers/broker"}]},
    },
    "operations": {
        "publishReading": {
            "action": "send",
            "channel": {"$ref": "#/channels/readings"},
            "bindings": {"http": {"method": "PUT"}},
        },
        "takeReadings": {"action": "receive", "channel": {"$ref": "#/channels/readings"}},
        "publishOnBus": {"action": "send", "channel": {"$ref": "#/channels/subject"}},
        "takeFromBus": {"action": "receive", "channel": {"$ref": "#/channels/subject"}},
        "publishToBroker": {"action": "send", "channel": {"$ref": "#/channels/old"}},
    },
}
VERSION_2 = {
    "asyncapi": "2.6.0",
    "servers": {"web": {"url": "http://HOST/v2", "protocol": "http"}},
    "channels": {"/rooms": {"publish": {"operationId": "publishRoom"}}},
}


class Rooms:
    """Answers documents, takes messages, and sends the readings as events, a few at a time."""

    def __init__(self) -> None:
        self.bus_port = 0
        self.streams = 0

    def respond(self, asked: Asked) -> Answer:
        host = asked.headers["host"]
        match f"{asked.method} {asked.path}":
            case "GET /3.json":
                text = json.dumps(VERSION_3).replace("HOST", host).replace("BUS", str(self.bus_port))
                return Answer(data=json.loads(text))
            case "GET /2.json":
                return Answer(data=json.loads(json.dumps(VERSION_2).replace("HOST", host)))
            case "GET /v1/rooms/readings":
                self.streams += 1
                events = [f"data: {json.dumps(reading)}\n\n".encode() for reading in READINGS]
                return Answer(headers={"Content-Type": "text/event-stream"}, parts=events)
            case _:
                return Answer(status=202)


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
def service(rooms: Rooms) -> Iterator[Service]:
    with serve(rooms.respond) as served:
        yield served


class Caller:
    def __init__(self, evaluator: Evaluator, service: Service, functions: Functions) -> None:
        self.world = MemoryWorld()
        self._evaluator, self._service, self._functions = evaluator, service, functions

    async def call(self, *, document: str = "/3.json", **given: Any) -> Any:
        arguments = {"document": {"endpoint": self._service.address + document}, **given}
        text = f"do: [{json.dumps({'rooms': {'call': 'asyncapi', 'with': arguments}})}]"
        return await run_text(self._evaluator, text, {}, world=self.world, functions=self._functions)


@pytest.fixture
def caller(evaluator: Evaluator, service: Service, functions: Functions) -> Caller:
    return Caller(evaluator, service, functions)


async def test_a_message_is_published_where_each_version_of_the_document_says(caller: Caller, service: Service) -> None:
    message = {"payload": {"value": 1}, "headers": {"X-Room": "a"}}
    assert await caller.call(operation="publishReading", message=message) is None
    asked = service.asked[-1]
    assert (asked.method, asked.path, asked.json) == ("PUT", "/v1/rooms/readings", {"value": 1})
    assert (asked.headers["x-room"], asked.headers["content-type"]) == ("a", "application/json")
    caller.world = MemoryWorld()
    for stage, path in (("test", "test"), (True, "true")):
        server = {"name": "web", "variables": {"stage": stage}}
        await caller.call(operation="publishReading", message=message, server=server)
        assert service.asked[-1].path == f"/{path}/rooms/readings"
        caller.world = MemoryWorld()
    await caller.call(document="/2.json", channel="/rooms", message=message)
    assert (service.asked[-1].method, service.asked[-1].path) == ("POST", "/v2/rooms")


@pytest.mark.parametrize(
    ("consume", "more", "expected"),
    [
        ({"amount": 3}, {"filter": '${ .payload.room == "b" }'}, ["b1", "b3", "b1"]),
        ({"while": "${ length < 2 }"}, {}, ["a0", "b1"]),
        ({"until": "${ length == 1 }"}, {}, ["a0"]),
        ({"amount": 9, "for": {"milliseconds": 300}}, {}, ["a0", "b1", "a2", "b3"]),
    ],
)
async def test_messages_are_taken_until_the_policy_is_met(
    consume: Any, more: Any, expected: list[str], caller: Caller
) -> None:
    taken = await caller.call(operation="takeReadings", subscription={"consume": consume, **more})
    assert [f"{item['payload']['room']}{item['payload']['value']}" for item in taken] == expected


async def test_each_message_is_used_before_the_next_and_a_replay_takes_the_same(caller: Caller, rooms: Rooms) -> None:
    foreach = {
        "item": "reading",
        "do": [{"keep": {"set": {"value": "${ $reading.payload.value }", "at": "${ $index }"}}}],
        "output": {"as": "${ .value * 10 }"},
    }
    given = {"consume": {"amount": 2}, "foreach": foreach}
    assert await caller.call(operation="takeReadings", subscription=given) == [0, 10]
    assert await caller.call(operation="takeReadings", subscription=given) == [0, 10]
    assert rooms.streams == 1


async def test_a_long_silence_is_recorded_so_that_it_does_not_look_like_a_dead_runner(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "SILENT_S", 0.05)
    consume = {"amount": 9, "for": {"milliseconds": 500}}
    steps = caller.world.journal.results
    await caller.call(operation="takeReadings", subscription={"consume": consume})
    first = [key for key in steps if "/silence/" in key]
    assert first[:2] == ["/do/0/rooms/silence/0", "/do/0/rooms/silence/1"]
    del steps["/do/0/rooms/messages/4"]  # its attempt ended in the middle of it
    await caller.call(operation="takeReadings", subscription={"consume": consume})
    second = [key for key in caller.world.journal.performed if "/silence/" in key][len(first) :]
    assert second[0] == f"/do/0/rooms/silence/{len(first)}", "it goes on behind what is recorded"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"operation": "nothing"}, "has no operation nothing; it has publishReading, takeReadings"),
        (
            {"operation": "publishToBroker"},
            "the operation speak mqtt: only http, https, nats, ws and wss",
        ),
        ({"operation": "publishReading", "protocol": "ws"}, "speak none that fits"),
        ({"operation": "publishReading", "server": {"name": "no"}}, "has no server no; it has web"),
    ],
)
async def test_an_operation_that_cannot_be_called_is_a_configuration_error(
    given: Any, words: str, caller: Caller
) -> None:
    with pytest.raises(WorkflowError, match=words) as caught:
        await caller.call(message={"payload": {}}, **given)
    assert str(caught.value.fields["type"]).endswith("/configuration")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "9999"}], ids=["ended", "cut off"])
async def test_a_stream_goes_on_behind_the_last_event_that_came(
    headers: dict[str, str], functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(asked: Asked) -> Answer:
        behind = int(asked.headers.get("last-event-id", 0))
        events = [f"id: {number}\ndata: {number}\n\n".encode() for number in (behind + 1, behind + 2)]
        return Answer(headers={"Content-Type": "text/event-stream", **headers}, parts=events)

    monkeypatch.setattr(http_messages, "AGAIN_S", 0.01)
    taken = []
    with serve(respond) as service:
        arguments: dict[str, Json] = {"protocol": "http", "address": service.address}
        request = CallRequest(function="asyncapi", arguments=arguments, idempotency_key="key-1")
        async with functions.subscriptions["asyncapi"].open(request) as messages:
            for _ in range(5):
                message: Any = await anext(messages)
                taken.append(message["payload"])
    assert taken == [1, 2, 3, 4, 5]


def test_a_protocol_that_is_not_spoken_is_refused_before_the_workflow_begins(functions: Functions) -> None:
    given = {"document": {"endpoint": "http://x"}, "operation": "o", "message": {}, "protocol": "kafka"}
    text = f"do: [{json.dumps({'rooms': {'call': 'asyncapi', 'with': given}})}]"
    [problem] = find_unsupported(read_one(text), functions)
    assert problem.text == "call: asyncapi over kafka is not supported, only over http, nats and ws"


@pytest.fixture(scope="module")
def bus() -> Iterator[int]:
    pytest.importorskip("nats")  # comes with an extra, and is in tests/requirements.lock
    port = free_port()
    with subprocess.Popen(
        [NATS_SERVER, "-a", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        while b"Server is ready" not in (line := process.stderr.readline()):
            assert line
        yield port
        process.kill()


async def test_what_is_published_over_nats_is_taken_over_nats(
    caller: Caller, rooms: Rooms, bus: int, evaluator: Evaluator, service: Service, functions: Functions
) -> None:
    rooms.bus_port = bus
    publisher = Caller(evaluator, service, functions)
    message = {"payload": {"room": "a"}, "headers": {"From": "test", "To": None}}
    async with asyncio.TaskGroup() as group:
        given = {"consume": {"amount": 1, "for": {"seconds": 30}}}
        taking = group.create_task(caller.call(operation="takeFromBus", subscription=given))
        began = time.monotonic()
        while not taking.done() and time.monotonic() - began < 30:  # who is not yet subscribed is told nothing
            publisher.world = MemoryWorld()
            await publisher.call(operation="publishOnBus", message=message)
            await asyncio.sleep(0.05)
    [taken] = taking.result()
    assert (taken["payload"], taken["headers"]["From"]) == ({"room": "a"}, "test")
    assert "To" not in taken["headers"], "there is no null in a header"
    assert len(taken["headers"]["Nats-Msg-Id"]) > 10


async def test_a_bus_that_is_not_there_is_a_communication_error(caller: Caller, rooms: Rooms) -> None:
    pytest.importorskip("nats")
    rooms.bus_port = 1
    with pytest.raises(WorkflowError, match=r"rooms\.readings at nats://127.*Connect call failed") as caught:
        await caller.call(operation="publishOnBus", message={"payload": {}})
    assert str(caught.value.fields["type"]).endswith("/communication")
