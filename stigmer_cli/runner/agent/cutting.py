"""Results of calls that are too long for a model, cut in the middle: the journal keeps them whole."""

import json
from collections.abc import Sequence

from pydantic_ai.messages import BinaryContent, ModelMessage, ModelRequest, ToolReturnPart
from pydantic_core import to_jsonable_python

SHORTER = 4
"""How much shorter results are cut where the model finds the conversation too long, again and again."""

CHARS_MIN = 1_000
"""What is left of a result at least: where that is too much, it is something else that is too long."""


def find_shorter(messages: Sequence[ModelMessage]) -> int | None:
    """How many characters a result may have, so that the longest of `messages` is cut; None: there is no long one."""
    parts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    longest = max((_count_chars(part.content) for part in parts if isinstance(part, ToolReturnPart)), default=0)
    return longest // SHORTER if longest // SHORTER >= CHARS_MIN else None


def cut_result(content: object, chars_max: int) -> object:
    """`content` with its beginning and its end, and between them how much is left out; images stay as they are.

    What is no text is cut as JSON. Of several parts each may have its share.
    """
    if _count_chars(content) <= chars_max:
        return content
    if isinstance(content, list):
        share = chars_max // len(content)
        return [cut_result(one, share) for one in content]
    text = _write(content)
    kept = chars_max // 2
    left = len(text) - 2 * kept
    note = (
        f"(here {left:,} of {len(text):,} characters are left out, because the conversation was too long for the model:"
        " to see them, call the tool again and ask for less at a time)"
    )
    return f"{text[:kept]}\n{note}\n{text[len(text) - kept :]}"


def _count_chars(content: object) -> int:
    match content:
        case list():
            return sum(map(_count_chars, content))
        case BinaryContent():
            return 0
        case _:
            return len(_write(content))


def _write(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(to_jsonable_python(content), ensure_ascii=False)
