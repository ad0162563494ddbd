"""Servers of tools as they are in the world: what they do wrong costs neither an answer nor a second call."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.api.agent_tools import McpBody, ToolServerBody
from stigmer_cli.clock import SystemClock
from stigmer_cli.tool_server import connection, transport
from stigmer_cli.tool_server.connection import ServerSettings, ToolServer
from stigmer_cli.tool_server.result import ToolAnswer, ToolServerAway
from stigmer_cli.tool_server.transport import load_library
from tests.support.http_tool_server import HttpToolServer
from tests.support.tls import Authority, door_context, tls_in_front_of

ODD = Path(__file__).parents[2] / "support" / "odd_server.py"


@pytest.fixture(autouse=True, scope="module")
def library() -> None:
    load_library()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries."""
    monkeypatch.setattr(connection, "TRY_AGAIN_S", 0.01)


def open_server(mcp: McpBody, *, silent_s: float = 10.0) -> ToolServer:
    settings = ServerSettings(environ=os.environ, silent_s=silent_s, start_s=20.0)
    return ToolServer(ToolServerBody(mcp=mcp), settings, lambda _line: None, clock=SystemClock())


def odd(*habits: str, cwd: Path | None = None, silent_s: float = 10.0) -> ToolServer:
    mcp = McpBody(command=[sys.executable, str(ODD), *habits], cwd=str(cwd) if cwd else None)
    return open_server(mcp, silent_s=silent_s)


async def call(server: ToolServer, name: str) -> ToolAnswer:
    tools = {tool.name: tool for tool in await server.list_tools()}
    return await server.call(tools[name], {}, key="key")


ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "schema_without_content": {"content": [{"type": "text", "text": "done all the same"}]},
    "schema_broken": {"content": [{"type": "text", "text": '{"n": "x"}'}], "structuredContent": {"n": "x"}},
    "list": {"content": [], "structuredContent": {"result": [1]}},
    "plain_text": {"content": [{"type": "text", "text": "said"}]},
    "image": {"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]},
    "structured": {"content": [{"type": "text", "text": "summary"}], "structuredContent": {"n": 1, "all": ["a"]}},
    "empty": {"content": []},
    "unknown_kind": {"content": [{"type": "text", "text": '{"type": "video", "data": "aGk="}'}]},
    "half_character": {"content": [{"type": "text", "text": "cut ?"}], "structuredContent": {"?": "😀"}},
    "changes_list": {"content": [{"type": "text", "text": "changed"}]},
    "asks_back": {"content": [{"type": "text", "text": '["error", "error", "result"]'}]},
}


async def test_an_answer_is_taken_whatever_it_looks_like() -> None:
    async with odd() as server:
        for name, expected in ANSWERS.items():
            wire = dict((await call(server, name)).wire)
            assert {key: wire.get(key) for key in expected} == expected, name
            assert not wire["isError"]
        wrong = 'wrong arguments: {"field": "n", "why": "no number"}'
        for name, words in {"error": "no such file", "protocol_error": wrong}.items():
            failed = (await call(server, name)).wire
            assert (failed["isError"], failed["content"]) == (True, [{"type": "text", "text": words}])


async def test_a_large_answer_and_a_folder_come_through(tmp_path: Path) -> None:
    async with odd(cwd=tmp_path) as server:
        content: Any = (await call(server, "huge")).wire["content"]
        assert len(content[0]["text"]) == 2_000_000
        assert (await call(server, "where")).wire["content"] == [{"type": "text", "text": str(tmp_path)}]


async def test_a_server_that_says_how_far_it_is_may_take_longer_than_one_that_is_silent() -> None:
    async with odd(silent_s=0.6) as server:
        assert (await call(server, "slow_with_progress")).wire["content"] == [{"type": "text", "text": "at last"}]


LISTS = {
    ("many",): 500,
    ("same-page",): 1,
    ("bad-tool",): 22,
    ("twice",): 20,
    ("old", "garbage"): 20,
}


@pytest.mark.parametrize("habits", LISTS)
async def test_a_list_with_something_wrong_in_it_is_a_list(habits: tuple[str, ...]) -> None:
    async with odd(*habits) as server:
        tools = await server.list_tools()
        assert len(tools) == LISTS[habits]
        assert (await server.call(tools[0], {}, key="key")).wire["isError"] is False


@pytest.mark.parametrize("habit", ["ends-at-discover", "silent-at-discover", "modern-only"])
async def test_a_program_of_any_age_is_asked_as_it_understands_it(habit: str) -> None:
    said: list[str] = []
    body = ToolServerBody(mcp=McpBody(command=[sys.executable, str(ODD), habit]))
    settings = ServerSettings(environ=os.environ, silent_s=8.0)
    async with ToolServer(body, settings, said.append, clock=SystemClock()) as server:
        tools = await server.list_tools_at_once()
        assert (await server.call(tools[0], {}, key="key")).wire["isError"] is False
    assert said == []


@pytest.mark.parametrize("silent_s", [2.0, 20.0])
async def test_a_server_has_as_long_to_start_as_to_answer_and_is_not_started_in_vain_again(silent_s: float) -> None:
    body = ToolServerBody(mcp=McpBody(command=[sys.executable, str(ODD), "slow-to-start"]))
    said: list[str] = []
    settings = ServerSettings(environ=os.environ, silent_s=silent_s)
    async with ToolServer(body, settings, said.append, clock=SystemClock()) as server:
        if silent_s > 3:
            assert len(await server.list_tools()) == 20
        else:
            with pytest.raises(ToolServerAway, match=r"has not answered for 2s since it was started \(STIGMER_TOOL"):
                await server.list_tools()
    assert len(said) <= 1


async def test_a_schema_is_made_into_one_that_models_take() -> None:
    async with odd("bad-tool") as server:
        schemas = {tool.name: tool.schema for tool in await server.list_tools()}
    assert schemas["any"] == {"type": "object", "properties": {"x": {}}}
    assert schemas["null"] == {
        "type": "object",
        "properties": {"default": {"type": "object", "default": None}, "choice": {"enum": ["a", None]}},
    }
    assert not {"bad", "string"} & schemas.keys()


async def test_a_server_that_died_is_started_again_before_the_next_call() -> None:
    async with odd() as server:
        assert (await call(server, "dies_after_answer")).wire["isError"] is False
        await asyncio.sleep(0.1)  # its end is read
        assert (await call(server, "echo")).wire["isError"] is False


@pytest.fixture
def http() -> Iterator[HttpToolServer]:
    with HttpToolServer().running() as found:
        yield found


async def test_a_server_that_was_started_again_knows_no_session_and_is_asked_in_a_new_one(http: HttpToolServer) -> None:
    async with open_server(McpBody(url=http.url)) as server:
        [send] = await server.list_tools()
        http.known += 1
        assert (await server.call(send, {}, key="key")).wire["content"] == [{"type": "text", "text": "sent"}]
        assert http.calls == 1


@pytest.mark.parametrize(("status", "calls"), [(504, 1), (429, 3)])
async def test_a_refusal_is_no_answer_of_the_tool_and_is_repeated_only_where_nothing_was_done(
    http: HttpToolServer,
    status: int,
    calls: int,
) -> None:
    async with open_server(McpBody(url=http.url)) as server:
        [send] = await server.list_tools()
        http.refuse["tools/call"] = status
        with pytest.raises(ToolServerAway, match=f"it answered HTTP {status}") as caught:
            await server.call(send, {}, key="key")
    assert (caught.value.was_sent, http.calls) == (calls == 1, calls)


async def test_a_server_that_is_asked_too_often_is_asked_again_when_it_says_and_its_session_goes_on(
    http: HttpToolServer,
) -> None:
    async with open_server(McpBody(url=http.url)) as server:
        [send] = await server.list_tools()
        http.busy_s = 0.9
        assert (await server.call(send, {}, key="key")).wire["content"] == [{"type": "text", "text": "sent"}]
        assert (http.calls, http.known) == (2, 1)
        http.busy_s, http.retry_after = 0.9, "3600"
        with pytest.raises(ToolServerAway, match="it answered HTTP 429"):
            await server.call(send, {}, key="other")
    assert http.calls == 3


async def test_a_server_that_wants_a_key_is_named_with_its_status(http: HttpToolServer) -> None:
    http.refuse["initialize"] = 401
    async with open_server(McpBody(url=http.url)) as server:
        with pytest.raises(ToolServerAway, match=f"tool server {http.url} cannot be used: it answered HTTP 401"):
            await server.list_tools()


async def test_a_call_without_an_answer_that_can_be_read_is_no_answer_and_is_not_repeated(http: HttpToolServer) -> None:
    async with open_server(McpBody(url=http.url)) as server:
        [send] = await server.list_tools()
        for body, kind in {b"<html>": "application/json", b"hello": "text/html", b"": "text/event-stream"}.items():
            http.instead = (200, body, kind)
            with pytest.raises(ToolServerAway, match="cannot be read") as caught:
                await server.call(send, {}, key="key")
            assert caught.value.was_sent
        http.instead = (202, b"", "application/json")
        with pytest.raises(ToolServerAway, match="202 Accepted") as caught:
            await server.call(send, {}, key="key")
    assert (caught.value.was_sent, http.calls) == (True, 4)


@pytest.mark.parametrize("form", ["application/json", "text/event-stream"])
async def test_an_answer_over_http_with_half_a_character_is_an_answer(http: HttpToolServer, form: str) -> None:
    answer = rb'{"jsonrpc": "2.0", "id": null, "result": {"content": [{"type": "text", "text": "cut \ud83d"}]}}'
    http.instead = (200, answer if form == "application/json" else b"data: " + answer + b"\n\n", form)
    async with open_server(McpBody(url=http.url)) as server:
        [send] = await server.list_tools()
        wire = (await server.call(send, {}, key="key")).wire
    assert (wire["content"], http.calls) == ([{"type": "text", "text": "cut ?"}], 1)


async def test_an_error_of_the_server_itself_is_the_answer_whatever_its_code(http: HttpToolServer) -> None:
    http.instead = (200, b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "full"}}', "")
    async with open_server(McpBody(url=http.url)) as server:
        [send] = await server.list_tools()
        answer = (await server.call(send, {}, key="key")).wire
    assert (answer["isError"], answer["content"]) == (True, [{"type": "text", "text": "full"}])
    async with odd() as server:
        answer = (await call(server, "server_error")).wire
    assert (answer["isError"], answer["content"]) == (True, [{"type": "text", "text": "the mailbox is full"}])


async def test_a_result_over_http_that_is_too_long_is_said_so_to_the_model(
    http: HttpToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "EVENT_BYTES_MAX", 10_000)
    http.instead = (200, b"data: " + b"x" * 20_000 + b"\n\n", "text/event-stream")
    async with open_server(McpBody(url=http.url)) as server:
        [send] = await server.list_tools()
        answer: Any = (await server.call(send, {}, key="key")).wire
    assert answer["isError"]
    assert answer["content"][0]["text"].startswith("the result is too long to be recorded: ")


async def test_a_server_with_tls_is_trusted_by_what_the_environment_names(
    http: HttpToolServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    port = http.server.server_port
    door = door_context(authority.issue("door", "localhost"))
    door.set_alpn_protocols(["http/1.1"])
    async with tls_in_front_of(port, door) as address:
        mcp = McpBody(url=f"https://{address}/mcp")
        for named, words in {None: "CERTIFICATE_VERIFY_FAILED", "/nowhere/ca.pem": "SSL_CERT_FILE"}.items():
            if named:
                monkeypatch.setenv("SSL_CERT_FILE", named)
            async with open_server(mcp) as server:
                with pytest.raises(ToolServerAway, match=words):
                    await server.list_tools()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        async with open_server(mcp) as server:
            [send] = await server.list_tools()
            await server.call(send, {}, key="key")
    assert http.calls == 1
