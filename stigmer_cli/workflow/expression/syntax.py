r"""Finds expressions in texts: `${ .name }` as a whole value, or between other text.

jq has texts with code in them (`"Hello \(.name)"`), comments to the end of a line, and braces of its own. So the end of
`${` is where its braces are even, outside of texts and comments.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

OPEN = "${"
SHOWN_MAX = 100
VARIABLE = re.compile(r"\$(__\w+|[A-Za-z_]\w*)")


class Unclosed(ValueError):
    """A `${` without its `}`."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """The jq between `${` and `}`."""

    text: str


Part = str | Code


def split_template(text: str) -> Sequence[Part]:
    """`text` as plain texts and expressions, in order. Raises Unclosed."""
    parts: list[Part] = []
    here = 0
    while (found := text.find(OPEN, here)) >= 0:
        end = _find_end(text, found + len(OPEN))
        if found > here:
            parts.append(text[here:found])
        parts.append(Code(text=text[found + len(OPEN) : end].strip()))
        here = end + 1
    if here < len(text):
        parts.append(text[here:])
    return parts


def unwrap(text: str) -> str:
    """The jq of a value that always is an expression, with or without `${ }` around it. Raises Unclosed."""
    stripped = text.strip()
    if not stripped.startswith(OPEN):
        return stripped
    parts = split_template(stripped)
    return parts[0].text if len(parts) == 1 and isinstance(parts[0], Code) else stripped


def list_variables(code: str) -> frozenset[str]:
    """The names of all variables that `code` may refer to. Those in its texts count: there may be code in them."""
    return frozenset(VARIABLE.findall(code))


def is_closed(code: str) -> bool:
    """Whether each bracket and text of `code` certainly ends in it, so that what follows is read as if it stood alone.

    False for code with a `#`: where its comment ends depends on the version of jq.
    """
    try:
        return "#" not in code and _skip_code(f"{code})", 0, "(", ")") == len(code)
    except (IndexError, RecursionError):
        return False


def _find_end(text: str, here: int) -> int:
    """Where the `}` is that ends the expression which begins at `here`."""
    try:
        return _skip_code(text, here, "{", "}")
    except (IndexError, RecursionError) as error:
        raise Unclosed(f"{OPEN} without its }} in {text[:SHOWN_MAX]!r}") from error


def _skip_code(text: str, here: int, opening: str, closing: str) -> int:
    """Where the bracket is that closes the code which begins at `here`. Raises IndexError."""
    depth = 0
    while depth or text[here] != closing:
        match text[here]:
            case '"':
                here = _skip_text(text, here + 1)
            case "#":
                end = text.find("\n", here)
                here = end if end >= 0 else len(text)
            case character:
                depth += (character == opening) - (character == closing)
        here += 1
    return here


def _skip_text(text: str, here: int) -> int:
    r"""Where the quote is that closes the text which begins at `here`; what stands in `\( )` is code."""
    while text[here] != '"':
        if text[here] == "\\":
            here += 1
            if text[here] == "(":
                here = _skip_code(text, here + 1, "(", ")")
        here += 1
    return here
