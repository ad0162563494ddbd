"""What servers in the world send, made into what the library takes: it drops a whole answer for one part that is wrong.

An answer that is dropped has been given all the same: nobody would know whether the call took effect.
"""

import json
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog

from stigmer_cli.json_text import read_whole

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream
    from mcp.shared.message import SessionMessage

BEFORE_AGREED = "2025-11-25"
"""The version of the protocol, until server and client have agreed on one."""

MAY_BE_NULL = frozenset({"default", "const"})
VALUES = MAY_BE_NULL | {"enum", "examples"}
"""Keywords of JSON Schema that hold values, and no schemas."""

MAPPINGS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords that hold schemas by names, which may be those of keywords."""


def read_half_characters() -> None:
    """Have the library read messages in which a text was cut in the middle of a character.

    It takes such a message for no JSON at all: that answer would never come. It offers no seam for this, and reads all
    messages with one adapter, over both transports: so the method of that adapter is replaced, once in a process.
    """
    from mcp_types import jsonrpc_message_adapter as adapter  # noqa: PLC0415 - loaded with the client

    if "validate_json" not in vars(adapter):
        strict = adapter.validate_json
        adapter.validate_json = _or_mended(strict, adapter.validate_python)  # type: ignore[method-assign]


def _or_mended(strict: Callable[..., Any], validate: Callable[..., Any]) -> Callable[..., Any]:
    from pydantic import ValidationError  # noqa: PLC0415 - loaded with the client

    def validate_json(data: str | bytes, /, **options: Any) -> Any:  # noqa: ANN401 - as the library has it
        try:
            return strict(data, **options)
        except ValidationError:
            try:
                value = read_whole(data)
            except ValueError:
                value = None
            if value is None:
                raise
        return validate(value, **options)

    return validate_json


class LenientStream:
    """The messages of a server, with results in which only what can be read is left."""

    def __init__(self, stream: "ReadStream[SessionMessage | Exception]") -> None:
        self._stream = stream
        self._is_told = False
        self._version = BEFORE_AGREED

    @property
    def last_context(self) -> object:
        """What the library asks of a stream that has it."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> "SessionMessage | Exception":
        """The next message."""
        return self._look_at(await self._stream.receive())

    async def aclose(self) -> None:
        """Close the stream behind it."""
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "SessionMessage | Exception":
        return self._look_at(await self._stream.__anext__())

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(kind, error, trace)

    def _look_at(self, item: "SessionMessage | Exception") -> "SessionMessage | Exception":
        if not isinstance(item, Exception):
            self._version = _mend(item.message, self._version)
        elif not self._is_told:
            self._is_told = True
            structlog.get_logger().warning("tool_server_writes_no_message", cause="it is left out, as all that follow")
        return item


def _mend(message: object, version: str) -> str:
    """Mend what is a result; returns the version of the protocol from now on."""
    from mcp_types import JSONRPCResponse  # noqa: PLC0415 - loaded with the client

    if not isinstance(message, JSONRPCResponse):
        return version
    result = message.result
    if isinstance(result.get("tools"), list):
        rest = {key: value for key, value in result.items() if key != "tools"}
        mended = [_mend_tool(tool) for tool in result["tools"]]
        result["tools"] = [tool for tool in mended if _is_tool(tool, rest, version)]
    elif "content" in result or "structuredContent" in result:
        _mend_answer(result, version)
    return str(result.get("protocolVersion", version))


def _mend_tool(tool: object) -> object:
    """A tool without the schema of its results, which the library would hold against them."""
    if not isinstance(tool, dict):
        return tool
    schema = tool.get("inputSchema")
    rest = {key: value for key, value in tool.items() if key != "outputSchema"}
    return {**rest, "inputSchema": _mend_schema(schema or {})} if schema is None or isinstance(schema, dict) else rest


def _mend_schema(given: dict[str, Any]) -> dict[str, Any]:
    """What models can be told of: an object, whose properties are described by objects."""
    schema: dict[str, Any] = _without_nulls(given)
    mended = {"type": "object", **schema}
    properties = schema.get("properties")
    if isinstance(properties, dict):
        described = {name: {} if found is True else found for name, found in properties.items()}
        mended["properties"] = {name: found for name, found in described.items() if isinstance(found, dict)}
    return mended


def _without_nulls(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    """`schema` without keywords that are null: so some servers write a list or a mapping that has nothing in it."""
    if isinstance(schema, list):
        return [_without_nulls(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value if key in VALUES else _without_nulls_within(key, value)
        for key, value in schema.items()
        if value is not None or key in MAY_BE_NULL
    }


def _without_nulls_within(keyword: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if keyword in MAPPINGS and isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items()}
    return _without_nulls(value)


def _is_tool(tool: object, rest: dict[str, Any], version: str) -> bool:
    if _is_valid("tools/list", version, {**rest, "tools": [tool]}):
        return True
    name = tool.get("name") if isinstance(tool, dict) else None
    structlog.get_logger().warning("tool_left_out", tool=str(name)[:200], cause="its server describes it wrongly")
    return False


def _mend_answer(result: dict[str, Any], version: str) -> None:
    """Keep parts of kinds that are not known as text; a value that is no object stands in one, as servers do it."""
    content = result.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for name in [name for name, value in result.items() if value is None]:
        del result[name]
    structured = result.pop("structuredContent", None)
    rest = {**result, "content": []}
    parts = content if isinstance(content, list) else []
    result["content"] = [
        part if _is_valid("tools/call", version, {**rest, "content": [part]}) else _quote(part) for part in parts
    ]
    if structured is not None:
        result["structuredContent"] = structured if isinstance(structured, dict) else {"result": structured}


def _quote(part: object) -> dict[str, str]:
    return {"type": "text", "text": json.dumps(part, ensure_ascii=False)}


def _is_valid(method: str, version: str, result: dict[str, Any]) -> bool:
    """Whether the library would take it. It looks at the whole again, and drops that."""
    from mcp_types import methods  # noqa: PLC0415 - loaded with the client
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        methods.validate_server_result(method, version, result)
    except ValidationError:
        return False
    except (KeyError, ValueError):  # a version that the library does not know either
        return True
    return True
