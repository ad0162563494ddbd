"""Text in pieces of a few words, as models send it."""

import re
from collections.abc import Iterator


def split_words(text: str, size: int) -> Iterator[str]:
    """`text` in pieces of `size` words, with its spaces as they are."""
    for piece in re.finditer(rf"(?:\s*\S+\s*){{1,{size}}}", text):  # a piece at a time: it may be long
        yield piece.group()
