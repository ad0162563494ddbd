"""Secrets by name: what a name and a value may be, and the references `${secrets.NAME}` in a text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

NAME_CHARS_MAX = 64
VALUE_BYTES_MAX = 64 * 1024
VALUE_CHARS_MIN = 6
"""A shorter value occurs everywhere, so that it could not be taken out of logs."""

SECRETS_MAX = 1_000

_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{NAME_CHARS_MAX - 1}}}")
_REFERENCE = re.compile(r"\$\{secrets\.([^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret as it may be shown: without its value.

    `users` are what refers to it: agents by their slugs, and workflows as `workflow/NAMESPACE/NAME`.
    """

    name: str
    created_at: datetime
    updated_at: datetime
    users: tuple[str, ...] = ()


def find_name_problem(name: str) -> str:
    """Why no secret can be called `name`, as a sentence; empty if one can."""
    if _NAME.fullmatch(name):
        return ""
    return (
        f"{name!r} is no name for a secret: use letters, digits and underscores, no digit first,"
        f" at most {NAME_CHARS_MAX} characters"
    )


def find_value_problem(value: str) -> str:
    """Why `value` cannot be kept as a secret, as a sentence without the value; empty if it can."""
    if len(value) < VALUE_CHARS_MIN:
        return (
            f"the value has fewer than {VALUE_CHARS_MIN} characters: one so short occurs in other words too, and could"
            " not be taken out of logs"
        )
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "the value is not text in UTF-8"
    if size > VALUE_BYTES_MAX:
        return f"the value has more than {VALUE_BYTES_MAX // 1024} KiB"
    return "the value has a NUL character" if "\0" in value else ""


def find_references(text: str) -> frozenset[str]:
    """The names in the references of `text`, valid or not."""
    return frozenset(_REFERENCE.findall(text))


def list_names(document: object) -> Sequence[str]:
    """The secrets that a document of the DSL names in `use.secrets`."""
    use = document.get("use") if isinstance(document, Mapping) else None
    names = use.get("secrets") if isinstance(use, Mapping) else None
    return [str(name) for name in names or ()]


def fill_references(text: str, values: Mapping[str, str]) -> str:
    """`text` with the value of each reference in its place; raises KeyError for a name without a value."""
    return _REFERENCE.sub(lambda found: values[found[1]], text)
