"""Values as JSON text that UTF-8 and both databases take, and JSON text from elsewhere as values."""

import json
import math
import re
from typing import Any

NUMBER_SHOWN_MAX = 40
TOO_DEEP = "it is nested too deeply"
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""The escape of half a character, whether the other half stands beside it or not."""


def read_json(text: str | bytes) -> Any:  # noqa: ANN401 - who asks says what it expects
    """The value in `text`, which comes from elsewhere.

    Raises ValueError where it is no JSON that can be written again: Python's reader takes NaN and Infinity, and makes
    Infinity of a number that is too large. The message follows a colon.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_read_number)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not allowed")


def _read_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:NUMBER_SHOWN_MAX]} is too large")
    return number


def dump_json(value: object, *, is_canonical: bool = False) -> str:
    """`value` as JSON text without spaces; `is_canonical`: always the same for the same value.

    A character of which there is only half, as where a text was cut, becomes a question mark: JSON could only escape
    it, and many readers refuse that, pydantic's among them. Raises ValueError or TypeError where it is no JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=is_canonical, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def read_whole(text: str | bytes) -> Any:  # noqa: ANN401 - as above
    """The value in `text`, in which half characters may be escaped: a question mark stands for each of them.

    Raises ValueError where it is no JSON.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8", "replace")
        value = json.loads(text)
        if SURROGATE.search(text):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    return value


def is_deeper(value: object, levels: int) -> bool:
    """Whether lists and objects of `value` are nested deeper than `levels`."""
    layer: list[Any] = [value]
    for _ in range(levels + 1):
        layer = [one for one in layer if isinstance(one, (dict, list, tuple))]
        if not layer:
            return False
        layer = [inner for one in layer for inner in (one.values() if isinstance(one, dict) else one)]
    return True
