"""What endpoints that speak OpenAI's chat completions stream amiss, set right before the library puts it together.

Some give all calls of a turn the same place in it, or repeat a call's name with each piece of it: the library puts both
together to one call of a tool that nobody has. Some cut between the two halves of a character.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import Choice, ChoiceDeltaToolCall
    from pydantic_ai.models import StreamedResponse

HALVES = "utf-16"


def repair_chunks(stream: "StreamedResponse") -> None:
    """Have `stream` read its chunks repaired; one that is not of chat completions stays as it is."""
    from pydantic_ai.models.openai import OpenAIStreamedResponse  # noqa: PLC0415 - loaded by the library

    if not isinstance(stream, OpenAIStreamedResponse):
        return
    read = stream._validate_response  # noqa: SLF001 - the library's hook for this
    setattr(stream, read.__name__, lambda: _repair(aiter(read())))


def join_halves(text: str) -> str:
    """`text` with each character that came as two halves in one; a half without its other one becomes `U+FFFD`."""
    if text.isascii():
        return text
    return text.encode(HALVES, "surrogatepass").decode(HALVES, "replace")


@dataclass(kw_only=True)
class Halves:
    """Joins the halves of characters between pieces of one text."""

    held: str = ""

    def feed(self, piece: str) -> str:
        """`piece` with what was held; the first half of a character at its end is held until its other one comes."""
        text, self.held = self.held + piece, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.held = text[:-1], text[-1]
        return join_halves(text)


async def _repair(chunks: "AsyncIterator[ChatCompletionChunk]") -> "AsyncIterator[ChatCompletionChunk]":
    answer = _Answer()
    async for chunk in chunks:
        for choice in chunk.choices or []:
            answer.repair(choice)
        yield chunk


@dataclass(kw_only=True)
class _Call:
    """A call as far as it has come; `place` is that of the library."""

    place: int
    id: str
    name: str
    arguments: str
    halves: Halves = field(default_factory=Halves)


class _Answer:
    """Repairs the pieces of one answer, in their order."""

    def __init__(self) -> None:
        self._text = Halves()
        self._calls: dict[int, _Call] = {}
        """The last call at each place that the endpoint gave."""
        self._places = 0

    def repair(self, choice: "Choice") -> None:
        delta = choice.delta
        if delta is None:
            return
        if isinstance(delta.content, str):
            delta.content = self._text.feed(delta.content)
        for piece in delta.tool_calls or []:
            if isinstance(piece.index, int):
                self._repair_call(piece)

    def _repair_call(self, piece: "ChoiceDeltaToolCall") -> None:
        name = (piece.function.name if piece.function else None) or ""
        call = self._calls.get(piece.index)
        if call is None or _is_another(call, piece.id or "", name):
            place = piece.index if call is None and piece.index >= self._places else self._places
            call = self._calls[piece.index] = _Call(place=place, id=piece.id or "", name="", arguments="")
            self._places = place + 1
        piece.index = call.place
        if piece.function is None:
            return
        if name and name == call.name:
            piece.function.name = None
        call.name += piece.function.name or ""
        if isinstance(piece.function.arguments, str):
            piece.function.arguments = call.halves.feed(piece.function.arguments)
            call.arguments += piece.function.arguments


def _is_another(call: _Call, id_: str, name: str) -> bool:
    """Whether a piece with this id and name begins another call than `call`, which had its place."""
    return bool(name and id_ and call.id and id_ != call.id) and _is_whole(call.arguments)


def _is_whole(arguments: str) -> bool:
    try:
        json.loads(arguments or "{}")
    except ValueError:
        return False
    return True
