"""What JSON can say, and how a place in it is written."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Path: TypeAlias = tuple[str, ...]
"""The keys, and the numbers of items, from the root of a value to a place in it."""


def write_path(path: Path) -> str:
    """`do[0].greet.set`: items are counted from 0."""
    parts = (f"[{part}]" if part.isdecimal() else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def write_pointer(path: Path) -> str:
    """The JSON Pointer (RFC 6901) to `path`: `/do/0/greet`."""
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)
