"""`call: mcp`: one request to a server of the Model Context Protocol, which is connected for it and left after it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from stigmer_cli.api.agent_tools import McpBody, ToolServerBody
from stigmer_cli.clock import Clock
from stigmer_cli.domain.step import Effect
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.tool_server.connection import ServerSettings, ToolServer
from stigmer_cli.tool_server.result import Json as Wire
from stigmer_cli.tool_server.result import Tool, ToolAnswer, ToolServerAway
from stigmer_cli.tool_server.transport import load_library
from stigmer_cli.workflow.duration import parse_duration
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.expression.template import write_text
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

if TYPE_CHECKING:
    from mcp.client import Client
    from pydantic import BaseModel

CALL = "tools/call"
EFFECT = "effect"
"""Where the arguments of a call that was translated say what calling the tool twice does."""

SAID_CHARS_MAX = 500
Ask = Callable[["Client"], Awaitable["BaseModel"]]


def _list_tools(given: Mapping[str, Json]) -> Ask:
    return lambda client: client.list_tools(cursor=_read_cursor(given))


def _list_prompts(given: Mapping[str, Json]) -> Ask:
    return lambda client: client.list_prompts(cursor=_read_cursor(given))


def _get_prompt(given: Mapping[str, Json]) -> Ask:
    name, texts = _read_text(given, "name"), dict(_texts_of(given.get("arguments")))
    return lambda client: client.get_prompt(name, texts)


def _list_resources(given: Mapping[str, Json]) -> Ask:
    return lambda client: client.list_resources(cursor=_read_cursor(given))


def _read_resource(given: Mapping[str, Json]) -> Ask:
    uri = _read_text(given, "uri")
    return lambda client: client.read_resource(uri)


def _list_templates(given: Mapping[str, Json]) -> Ask:
    return lambda client: client.list_resource_templates(cursor=_read_cursor(given))


REQUESTS: Mapping[str, Callable[[Mapping[str, Json]], Ask]] = {
    "tools/list": _list_tools,
    "prompts/list": _list_prompts,
    "prompts/get": _get_prompt,
    "resources/list": _list_resources,
    "resources/read": _read_resource,
    "resources/templates/list": _list_templates,
}
"""All methods of the DSL that only read."""


class McpCall:
    """Sends a request, and finds out first what calling a tool twice would do."""

    def __init__(self, authenticator: Authenticator, settings: ServerSettings, clock: Clock) -> None:
        self._authenticator = authenticator
        self._settings = settings
        self._clock = clock

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        """By what the server says of the tool; whatever is no call of a tool reads."""
        if arguments["method"] != CALL:
            return Effect.REPEATABLE
        said = arguments.get(EFFECT)
        return Effect(said) if isinstance(said, str) and said in {*Effect} else Effect.ONCE

    def is_needed(self, arguments: Mapping[str, Json], said: Effect | None) -> bool:
        """Whether the server has to be asked about the tool: not where the task says it."""
        return said is None and arguments["method"] == CALL

    async def translate(self, request: CallRequest) -> tuple[str, Mapping[str, Json]]:
        """The same call with the effect of its tool. Raises WorkflowError, also where there is no such tool."""
        name = _read_text(_find_parameters(request), "name")
        server = await self._make_server(request)
        async with _Reported(request), server:
            tools = await server.list_tools()
        tool = next((tool for tool in tools if tool.name == name), None)
        if tool is None:
            known = ", ".join(tool.name for tool in tools) or "none"
            raise make_error(ErrorType.RUNTIME, f"the {server.label} has no tool {name}; it has {known}")
        return request.function, {**request.arguments, EFFECT: tool.effect.value}

    async def perform(self, request: CallRequest) -> Json:
        """The result of the request, as the protocol has it.

        Raises WorkflowError: of the type runtime where the server or the tool says that it failed, of the type
        communication where the server cannot be reached or used, of the type timeout.
        """
        method = str(request.arguments["method"])
        ask = None if method == CALL else _find_request(method, _find_parameters(request))
        server = await self._make_server(request)
        async with _Reported(request), server:
            if ask is None:
                return await self._call_tool(server, request)
            answer = await server.ask(ask)
        if isinstance(answer, ToolAnswer):
            raise make_error(ErrorType.RUNTIME, f"{method}: {_describe_content(answer.wire.get('content'))}")
        return cast("Json", answer.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"}))

    async def _call_tool(self, server: ToolServer, request: CallRequest) -> Json:
        parameters = _find_parameters(request)
        given = parameters.get("arguments") or {}
        if not isinstance(given, Mapping):
            raise make_error(ErrorType.CONFIGURATION, "parameters.arguments of the tool are no mapping")
        name = _read_text(parameters, "name")
        tool = Tool(name=name, description="", schema={}, effect=request.effect)
        answer = await server.call(tool, given, key=request.idempotency_key)
        wire = cast("dict[str, Json]", dict(answer.wire))
        if wire.get("isError") is True:
            raise make_error(
                ErrorType.RUNTIME, f"the tool {name} failed: {_describe_content(answer.wire.get('content'))}"
            )
        return wire

    async def _make_server(self, request: CallRequest) -> ToolServer:
        await asyncio.to_thread(load_library)
        headers = await self._authenticator.list_headers(request.policy)
        try:
            body = ToolServerBody(mcp=_make_body(request.arguments, headers))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise make_error(ErrorType.CONFIGURATION, f"the transport of the call: {reason}") from error
        return ToolServer(body, self._settings, lambda _line: None, clock=self._clock)


class _Reported:
    """Makes errors of the DSL of what a server does wrong, and of a call that takes too long."""

    def __init__(self, request: CallRequest) -> None:
        given = request.arguments.get("timeout")
        try:
            self._limit_s = None if given is None else parse_duration(given) / 1_000
        except ValueError as error:
            raise make_error(ErrorType.CONFIGURATION, f"the timeout of the call: {error}") from error
        self._timeout = asyncio.timeout(self._limit_s)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, error, None)
        except TimeoutError:
            detail = f"the call of MCP took longer than {self._limit_s} s"
            raise make_error(ErrorType.TIMEOUT, detail) from None
        if isinstance(error, ToolServerAway):
            raise make_error(ErrorType.COMMUNICATION, error.message) from error


def _make_body(arguments: Mapping[str, Json], headers: Mapping[str, str]) -> McpBody:
    """The server that the arguments describe. Raises ValidationError, and WorkflowError."""
    transport = arguments.get("transport")
    http = transport.get("http") if isinstance(transport, Mapping) else None
    stdio = transport.get("stdio") if isinstance(transport, Mapping) else None
    if isinstance(http, Mapping):
        return McpBody.model_validate(
            {"url": http.get("endpoint"), "headers": {**_texts_of(http.get("headers")), **headers}}
        )
    if not isinstance(stdio, Mapping):
        raise make_error(ErrorType.CONFIGURATION, "the transport of the call is neither http nor stdio")
    words = stdio.get("arguments")
    command = [stdio.get("command"), *(words if isinstance(words, list) else [])]
    return McpBody.model_validate(
        {"command": [write_text(word) for word in command], "env": _texts_of(stdio.get("environment"))}
    )


def _texts_of(value: Json) -> Mapping[str, str]:
    found = value if isinstance(value, Mapping) else {}
    return {name: write_text(item) for name, item in found.items() if item is not None}


def _find_request(method: str, parameters: Mapping[str, Json]) -> Ask:
    if method not in REQUESTS:
        raise make_error(ErrorType.CONFIGURATION, f"the method {method} of MCP is not supported")
    return REQUESTS[method](parameters)


def _find_parameters(request: CallRequest) -> Mapping[str, Json]:
    found = request.arguments.get("parameters") or {}
    if not isinstance(found, Mapping):
        raise make_error(ErrorType.CONFIGURATION, "the parameters of the call are no mapping")
    return found


def _read_text(given: Mapping[str, Json], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise make_error(ErrorType.CONFIGURATION, f"parameters.{name} of the call is missing, or no text")
    return value


def _read_cursor(given: Mapping[str, Json]) -> str | None:
    value = given.get("cursor")
    return value if isinstance(value, str) else None


def _describe_content(content: Wire) -> str:
    texts = [
        str(part["text"])
        for part in (content if isinstance(content, list) else [])
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    ]
    return " ".join(" ".join(texts).split())[:SAID_CHARS_MAX] or "it says nothing more"
