"""What servers in the world send, made into what the library takes: it drops a whole answer for one part that is wrong.

An answer that is dropped has been given all the same: nobody would know whether the call took effect.
"""

import json
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream
    from mcp.shared.message import SessionMessage
    from pydantic import TypeAdapter


class LenientStream:
    """The messages of a server, with results in which only what can be read is left."""

    def __init__(self, stream: "ReadStream[SessionMessage | Exception]") -> None:
        self._stream = stream
        self._is_told = False

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
            _mend(item.message)
        elif not self._is_told:
            self._is_told = True
            structlog.get_logger().warning("tool_server_writes_no_message", cause="it is left out, as all that follow")
        return item


def _mend(message: object) -> None:
    from mcp_types import JSONRPCResponse  # noqa: PLC0415 - loaded with the client

    if not isinstance(message, JSONRPCResponse):
        return
    result = message.result
    if isinstance(result.get("tools"), list):
        result["tools"] = [tool for tool in map(_mend_tool, result["tools"]) if tool is not None]
    elif "content" in result or "structuredContent" in result:
        _mend_answer(result)


def _mend_tool(tool: object) -> object:
    """A tool without the schema of its results, which the library would hold against them; None where it is none."""
    if isinstance(tool, dict):
        tool.pop("outputSchema", None)
        schema = tool.get("inputSchema")
        if schema is None or isinstance(schema, dict):
            tool["inputSchema"] = {"type": "object", **(schema or {})}
    if _is_valid(_tools(), tool):
        return tool
    name = tool.get("name") if isinstance(tool, dict) else None
    structlog.get_logger().warning("tool_left_out", tool=str(name)[:200], cause="its server describes it wrongly")
    return None


def _mend_answer(result: dict[str, Any]) -> None:
    """Keep parts of kinds that are not known as text; a value that is no object stands in one, as servers do it."""
    content = result.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    result["content"] = [_mend_part(part) for part in content] if isinstance(content, list) else []
    structured = result.get("structuredContent")
    if structured is None:
        result.pop("structuredContent", None)
    elif not isinstance(structured, dict):
        result["structuredContent"] = {"result": structured}


def _mend_part(part: object) -> object:
    return part if _is_valid(_parts(), part) else {"type": "text", "text": json.dumps(part, ensure_ascii=False)}


def _is_valid(adapter: "TypeAdapter[Any]", value: object) -> bool:
    try:
        adapter.validate_python(value, by_name=False)
    except ValueError:
        return False
    return True


@lru_cache
def _tools() -> "TypeAdapter[Any]":
    from mcp_types import Tool  # noqa: PLC0415 - loaded with the client
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(Tool)


@lru_cache
def _parts() -> "TypeAdapter[Any]":
    from mcp_types import ContentBlock  # noqa: PLC0415 - loaded with the client
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(ContentBlock)
