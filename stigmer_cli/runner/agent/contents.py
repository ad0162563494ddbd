"""What the journal keeps of a turn and of a call, as JSON, and what the loop makes of it again."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolAvailabilityDeltaPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import TOOL_AVAILABILITY_ANNOUNCEMENT
from pydantic_core import to_jsonable_python

from stigmer_cli.runner.journal import Json, canonical_json

ArgumentsT = TypeVar("ArgumentsT")

NAME_MAX = 64
NEWS = f"<system>{TOOL_AVAILABILITY_ANNOUNCEMENT.partition('{')[0]}"


def name_for_models(name: str) -> str:
    """What models call a tool: providers refuse other characters than these, and longer names (OpenAI, Anthropic)."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:NAME_MAX]


def dump_response(response: ModelResponse) -> Json:
    """A model's answer as it is recorded."""
    [dumped] = ModelMessagesTypeAdapter.dump_python([response], mode="json")
    return cast("Json", dumped)


def load_response(recorded: Json) -> ModelResponse:
    """The answer that was recorded; raises ValueError for anything else."""
    [found] = ModelMessagesTypeAdapter.validate_python([recorded])
    if not isinstance(found, ModelResponse):
        raise ValueError("what was recorded is no answer of a model")  # noqa: TRY004 - it is a value of the store
    return found


def text_of(response: ModelResponse) -> str:
    """All that the model said in its answer."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def calls_of(response: ModelResponse) -> Sequence[ToolCallPart]:
    """The calls of tools in an answer, in order."""
    return [part for part in response.parts if isinstance(part, ToolCallPart)]


def with_sound_calls(response: ModelResponse) -> ModelResponse:
    """`response`, in which no two calls have the same id, and the arguments of none are `null` or JSON within a text.

    Models and endpoints give such, and the library takes none of them.
    """
    known: set[str] = set()
    parts: list[ModelResponsePart] = []
    for number, part in enumerate(response.parts):
        if not isinstance(part, ToolCallPart):
            parts.append(part)
            continue
        id_ = part.tool_call_id if part.tool_call_id not in known else f"{part.tool_call_id}-{number}"
        known.add(id_)
        call = cast("ToolCallPart[Any]", part)
        parts.append(replace(call, tool_call_id=id_, args=_find_object(call.args)))
    return replace(response, parts=parts)


def _find_object(arguments: ArgumentsT) -> ArgumentsT | str:
    """`arguments`, or the object that was meant."""
    if not isinstance(arguments, str):
        return arguments
    try:
        read = json.loads(arguments)
        if read is None:
            return "{}"
        is_object = isinstance(read, str) and isinstance(json.loads(read), dict)
    except (ValueError, RecursionError):
        return arguments
    return read if is_object else arguments


def read_arguments(call: ToolCallPart) -> Mapping[str, Json] | None:
    """The arguments; None where they are no JSON object: then nothing is called, and the model is told so."""
    try:
        arguments: Mapping[str, Json] = call.args_as_dict(raise_if_invalid=True)
        canonical_json(arguments)  # pydantic-ai takes NaN, which nobody can be asked about
    except (ValueError, TypeError, AssertionError):
        return None
    return arguments


def describe_request(request: ModelRequest, instructions: str) -> Mapping[str, Json]:
    """What a turn answers, beside what the turns before it did: without moments, ids and news of this very attempt."""
    parts = [_describe_part(part) for part in request.parts if not _is_news(part)]
    return {"instructions": instructions, "parts": parts}


def _is_news(part: ModelRequestPart) -> bool:
    """Whether the library has added it to tell the model of tools that have come: on replay they may come elsewhere."""
    if isinstance(part, UserPromptPart):
        return isinstance(part.content, str) and part.content.startswith(NEWS)
    return isinstance(part, ToolAvailabilityDeltaPart)


def _describe_part(part: ModelRequestPart) -> Json:
    content = cast("Json", to_jsonable_python(part.content)) if hasattr(part, "content") else None
    match part:
        case UserPromptPart():
            return {"message": content}
        case ToolReturnPart():
            return {"tool": part.tool_name, "call": part.tool_call_id, "result": content, "outcome": part.outcome}
        case _:
            return {part.part_kind: content}


def is_error(recorded: Json) -> bool:
    """Whether the tool itself said that it failed."""
    return isinstance(recorded, Mapping) and recorded.get("isError") is True


def read_answer(recorded: Json) -> object:
    """What the model is told that a call returned: a value, a text, or several with images and sounds among them.

    What a person gave as the result of a call that was skipped may be any JSON.
    """
    if not isinstance(recorded, Mapping) or not isinstance(recorded.get("content"), list):
        return recorded
    parts = cast("Sequence[Mapping[str, Json]]", recorded["content"])
    structured = recorded.get("structuredContent")
    if structured is not None and all(part.get("type") == "text" for part in parts):
        is_wrapped = isinstance(structured, Mapping) and list(structured) == ["result"]
        return cast("Mapping[str, Json]", structured)["result"] if is_wrapped else structured
    read = [_read_part(part) for part in parts]
    return read[0] if len(read) == 1 else read


def describe_failure(answer: object) -> str:
    """What the model is told of a call that failed with more than one text."""
    parts = answer if isinstance(answer, list) else [answer]
    if not any(isinstance(part, BinaryContent) for part in parts):
        return str(answer)
    return "\n".join(
        f"({part.media_type}, {len(part.data):,} bytes)" if isinstance(part, BinaryContent) else str(part)
        for part in parts
    )


def _read_part(part: Mapping[str, Json]) -> object:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image" | "audio", "data": str(data), "mimeType": str(kind)}:
            return _read_binary(data, kind) or part
        case {"type": "resource", "resource": {"text": str(text)}}:
            return text
        case {"type": "resource_link", "uri": str(uri)}:
            return uri
        case _:
            return part


def _read_binary(data: str, kind: str) -> BinaryContent | None:
    try:
        return BinaryContent(data=base64.b64decode(data, validate=True), media_type=kind)
    except binascii.Error:
        return None
