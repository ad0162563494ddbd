"""xai is asked over gRPC: the library's own client and a server of its protocol, which answers as a test says."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc import StatusCode as Status

from stigmer_cli.api.reports import Work
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.model_provider import PROVIDERS
from stigmer_cli.extras import is_installed
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.model.seam import ModelBusy, ModelFailed
from stigmer_cli.settings import Home, Settings
from tests.support.temporal_server import free_port

XAI = PROVIDERS["xai"]
MODEL = "xai:grok-4"
KEY = "xai-of-this-very-test"
CLIENT_TRIES = 5
"""How often the client asks a service that is unavailable, by itself, within a second or two."""


pytestmark = pytest.mark.skipif(not is_installed(XAI.library), reason=f"the library of {XAI.name} is not installed")


@dataclass
class Stub:
    """What the server says; `status`: it refuses, once it has said `words` if there are any. `asked`: its requests."""

    words: tuple[str, ...] = ("Hel", "lo")
    status: Status | None = None
    reason: str | None = "REASON_STOP"
    pause_s: float = 0.0
    keys: list[str] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    async def answer(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The chunks of an answer; the last one has the usage and the reason of the end."""
        self.asked.append(request)
        self.keys += [str(value) for name, value in context.invocation_metadata() or () if name == "authorization"]
        proto = importlib.import_module("xai_sdk.proto")
        chunk, output, delta = (
            getattr(proto.chat_pb2, name) for name in ("GetChatCompletionChunk", "CompletionOutputChunk", "Delta")
        )
        await asyncio.sleep(self.pause_s)
        for word in self.words:
            yield chunk(id="c", model="grok-4", outputs=[output(delta=delta(content=word, role="ROLE_ASSISTANT"))])
        if self.status is not None:
            await context.abort(self.status, f"bad {KEY} thing")
        if self.reason is not None:
            usage = proto.usage_pb2.SamplingUsage(prompt_tokens=812, completion_tokens=96, total_tokens=908)
            last = output(delta=delta(role="ROLE_ASSISTANT"), finish_reason=self.reason)
            yield chunk(id="c", model="grok-4", outputs=[last], usage=usage)


@asynccontextmanager
async def served(stub: Stub) -> AsyncIterator[int]:
    """The port of a server that answers so."""
    proto = importlib.import_module("xai_sdk.proto")
    handler = grpc.unary_stream_rpc_method_handler(
        stub.answer,
        request_deserializer=proto.chat_pb2.GetCompletionsRequest.FromString,
        response_serializer=proto.chat_pb2.GetChatCompletionChunk.SerializeToString,
    )
    server = grpc.aio.server()
    service = grpc.method_handlers_generic_handler("xai_api.Chat", {"GetCompletionChunk": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_secure_port("localhost:0", grpc.local_server_credentials())
    await server.start()
    try:
        yield port
    finally:
        await server.stop(grace=None)


async def ask(home: Home, patch: pytest.MonkeyPatch, port: int, *, silent_for: str = "5s") -> list[str | TokenUsage]:
    """What the model says; the library has no setting for another host, so that its client is given one."""
    client = importlib.import_module("xai_sdk").AsyncClient
    patch.setattr("pydantic_ai.providers.xai.AsyncClient", partial(client, api_host=f"localhost:{port}"))
    settings = Settings(home=home, model_silent_for=silent_for)
    catalog = Catalog(settings, clock=SystemClock(), environ={XAI.key: KEY})
    work = Work(instructions="Be brief.", message="Hi", model=MODEL, agent_name="a")
    try:
        return [piece async for piece in catalog(MODEL).stream(work)]
    finally:
        await catalog.close()


async def failure(home: Home, patch: pytest.MonkeyPatch, stub: Stub, **options: str) -> ModelBusy | ModelFailed:
    async with served(stub) as port:
        with pytest.raises((ModelBusy, ModelFailed)) as caught:
            await ask(home, patch, port, **options)
    assert isinstance(caught.value, ModelBusy | ModelFailed)
    assert KEY not in caught.value.message
    return caught.value


async def test_an_answer_streams_and_is_counted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub()
    async with served(stub) as port:
        found = await ask(home, monkeypatch, port)
    used = found.pop()
    assert "".join(map(str, found)) == "Hello"
    assert isinstance(used, TokenUsage)
    assert (used.input_tokens, used.output_tokens) == (812, 96)
    assert stub.keys == [f"Bearer {KEY}"]
    assert "Be brief." in str(stub.asked)


STATUS = {
    Status.UNAUTHENTICATED: (ModelFailed, "refuses the key"),
    Status.PERMISSION_DENIED: (ModelFailed, "refuses the key"),
    Status.NOT_FOUND: (ModelFailed, "is not there"),
    Status.INVALID_ARGUMENT: (ModelFailed, "bad [redacted] thing"),
    Status.RESOURCE_EXHAUSTED: (ModelBusy, "bad [redacted] thing"),
    Status.INTERNAL: (ModelBusy, "bad [redacted] thing"),
    Status.UNAVAILABLE: (ModelBusy, "bad [redacted] thing"),
}


@pytest.mark.parametrize("status", STATUS, ids=str)
async def test_a_status_means_what_it_means_elsewhere(
    home: Home, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    stub = Stub(words=(), status=status)
    found = await failure(home, monkeypatch, stub)
    kind, words = STATUS[status]
    assert (type(found), words in found.message) == (kind, True), found.message
    assert len(stub.asked) == (CLIENT_TRIES if status is Status.UNAVAILABLE else 1)


async def test_an_endpoint_that_is_not_there_is_busy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelBusy, match="cannot be reached"):
        await ask(home, monkeypatch, free_port())


async def test_an_answer_that_breaks_off_is_busy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(await failure(home, monkeypatch, Stub(status=Status.UNAVAILABLE))) is ModelBusy


async def test_an_answer_that_is_not_the_whole_one_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await failure(home, monkeypatch, Stub(reason="REASON_MAX_LEN"))
    assert (type(found), "cut its answer at its limit" in found.message) == (ModelFailed, True), found.message


async def test_a_model_that_is_silent_for_too_long_is_busy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await failure(home, monkeypatch, Stub(pause_s=5.0), silent_for="0.3s")
    assert (type(found), "has said nothing for 0.3s" in found.message) == (ModelBusy, True), found.message
