"""`call: a2a` against an agent on loopback."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stigmer_cli.domain.step import Effect
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, Functions
from tests.support.http_service import Answer, Asked, Service, serve

MESSAGE: Json = {"parts": [{"kind": "text", "text": "hello"}]}
EVENTS = [{"kind": "task", "id": "t-1"}, {"kind": "status-update", "final": True}]


def _respond(asked: Asked) -> Answer:
    if asked.path == "/card":
        return Answer(data={"name": "greeter", "url": "/rpc", "preferredTransport": "JSONRPC"})
    if asked.path == "/grpc-card":
        return Answer(data={"url": "http://elsewhere", "preferredTransport": "GRPC"})
    if asked.path == "/newer-card":
        return Answer(data={"supportedInterfaces": [{"url": "/rpc", "protocolBinding": "JSONRPC"}]})
    method = asked.json["method"]
    answers: dict[str, Any] = {
        "message/send": {"result": {"kind": "message", "of": asked.json["params"]}},
        "tasks/get": {"error": {"code": -32001, "message": "Task not found"}},
        "tasks/cancel": {},
    }
    if method == "message/stream":
        parts = [f": hello\nevent: x\ndata: {json.dumps({'result': event})}\n\n".encode() for event in EVENTS]
        return Answer(headers={"Content-Type": "text/event-stream; charset=utf-8"}, parts=parts)
    return Answer(data={"jsonrpc": "2.0", "id": asked.json["id"], **answers[method]})


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serve(_respond) as served:
        yield served


async def _call(functions: Functions, arguments: dict[str, Json], policy: Policy | None = None) -> Any:
    given: dict[str, Json] = {"parameters": {"message": MESSAGE}, **arguments}
    request = CallRequest(
        function="a2a", arguments=given, policy=policy, resource_policy=policy, idempotency_key="key-1"
    )
    return await functions.calls["a2a"].perform(request)


@pytest.mark.parametrize("card", ["/card", "/newer-card"])
async def test_a_message_has_what_the_dsl_asks_for_and_the_same_id_each_time(
    card: str, functions: Functions, service: Service
) -> None:
    shown = Policy(scheme="bearer", properties={"token": "t"})
    results = [
        await _call(functions, {"method": "message/send", "agentCard": service.address + card}, shown) for _ in range(2)
    ]
    message = results[0]["of"]["message"]
    assert (message["role"], message["kind"], message["parts"][0]["text"]) == ("user", "message", "hello")
    assert results[1]["of"]["message"]["messageId"] == message["messageId"]
    assert {request.headers.get("authorization") for request in service.asked[-4:]} == {"Bearer t"}
    assert service.asked[-1].headers["idempotency-key"] == "key-1"


async def test_a_stream_is_the_list_of_its_results(functions: Functions, service: Service) -> None:
    assert await _call(functions, {"method": "message/stream", "server": f"{service.address}/rpc"}) == EVENTS


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"method": "tasks/get", "server": "/rpc"}, "runtime", "the agent answered: Task not found"),
        ({"method": "tasks/cancel", "server": "/rpc"}, "communication", "neither a result nor an error"),
        ({"method": "tasks/get", "agentCard": "/grpc-card"}, "configuration", "names no address that takes JSON-RPC"),
        ({"method": "tasks/get"}, "configuration", "neither an agentCard nor a server"),
    ],
)
async def test_an_agent_that_gives_no_result_is_an_error_of_its_kind(
    arguments: dict[str, Json], kind: str, words: str, functions: Functions, service: Service
) -> None:
    for name in ("server", "agentCard"):
        if name in arguments:
            arguments[name] = f"{service.address}{arguments[name]}"
    with pytest.raises(WorkflowError, match=words) as caught:
        await _call(functions, arguments)
    assert str(caught.value.fields["type"]).endswith(f"/{kind}")


def test_only_a_message_is_sent_once(functions: Functions) -> None:
    methods = ("message/send", "message/stream", "tasks/get", "tasks/cancel", "tasks/resubscribe")
    once = [m for m in methods if functions.calls["a2a"].find_effect({"method": m}) is Effect.ONCE]
    assert once == ["message/send", "message/stream"]
