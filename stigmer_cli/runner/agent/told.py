"""What a model is told of the results of calls beside what the loop keeps of them, which is what a replay compares."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolReturnPart,
)

from stigmer_cli.runner.agent.contents import calls_of
from stigmer_cli.runner.agent.conversation import key_of_call
from stigmer_cli.runner.agent.cutting import cut_result

BEGINNINGS: Mapping[str, bytes] = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
}
RIFF, WEBP = b"RIFF", b"WEBP"
"""A file of WebP: the first, four bytes with its length, the second."""


def tell(
    messages: Sequence[ModelMessage], *, first_turn: int, edited: Mapping[str, str], chars_max: int | None = None
) -> list[ModelMessage]:
    """`messages` for a request, of which the first answers turn `first_turn`; `edited` are arguments by steps.

    Images are of a kind that models take, and are called what they are: a provider refuses the whole conversation for
    another one, in each turn from then on. The model is told of arguments that a person has changed: else it makes the
    call again that it had meant. `chars_max`: longer results are cut to about as many characters.
    """
    turn = first_turn
    told: list[ModelMessage] = []
    keys: dict[str, Iterator[str]] = {}
    for message in messages:
        if isinstance(message, ModelResponse):
            keys = _keys_of(message, turn)
            turn += 1
            told.append(message)
        else:
            told.append(_tell_results(message, keys, edited, chars_max))
    return told


def _keys_of(response: ModelResponse, turn: int) -> dict[str, Iterator[str]]:
    """The steps of its calls by their ids, of which several may be the same."""
    found: dict[str, list[str]] = {}
    for place, call in enumerate(calls_of(response)):
        found.setdefault(call.tool_call_id, []).append(key_of_call(turn, place))
    return {id_: iter(keys) for id_, keys in found.items()}


def _tell_results(
    request: ModelRequest, keys: Mapping[str, Iterator[str]], edited: Mapping[str, str], chars_max: int | None
) -> ModelRequest:
    parts: list[ModelRequestPart] = []
    for part in request.parts:
        if isinstance(part, ToolReturnPart):
            step = next(keys[part.tool_call_id], "") if part.tool_call_id in keys else ""
            content = with_readable_files(part.content)
            content = content if chars_max is None else cut_result(content, chars_max)
            told = _with_note(content, edited[step]) if step in edited else content
            parts.append(replace(cast("ToolReturnPart[Any]", part), content=told))
        else:
            parts.append(part)
    return replace(request, parts=parts)


def _with_note(content: object, arguments: str) -> object:
    note = f"A person changed the arguments of this call: it was performed with {arguments}"
    if isinstance(content, str):
        return f"{note}\n{content}"
    return [note, *content] if isinstance(content, list) else [note, content]


def with_readable_files(content: object) -> object:
    """`content` of a result, in which each file is an image that every provider takes, its text, or a text about it."""
    match content:
        case list():
            return [with_readable_files(one) for one in content]
        case BinaryContent() if content.is_image:
            return _show_file(content.data, content.media_type)
        case {"type": "resource", "resource": {"blob": str(blob), **about}}:
            return _show_file(_decode(blob), str(about.get("mimeType")))
        case _:
            return content


def _show_file(data: bytes, said: str) -> BinaryContent | str:
    if (kind := _find_kind(data)) is not None:
        return BinaryContent(data=data, media_type=kind)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    return text or f"(a file of the type {said}, {len(data):,} bytes, which models do not take)"


def _decode(blob: str) -> bytes:
    try:
        return base64.b64decode(blob)
    except ValueError:
        return b""


def _find_kind(data: bytes) -> str | None:
    """What the image is, whatever it is called; None for one that not every provider takes."""
    if data.startswith(RIFF) and data[8:12] == WEBP:
        return "image/webp"
    return next((kind for kind, beginning in BEGINNINGS.items() if data.startswith(beginning)), None)
