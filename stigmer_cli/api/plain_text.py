"""What a workflow takes, gives and fails with, as a person reads it. A light command imports this: no pydantic here."""

import json
from collections.abc import Mapping


def text_of(value: object) -> str:
    """`value` for a person to read: text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def text_of_input(value: object, *, is_omitted: bool) -> str:
    """The input of a workflow for a person to read; a list leaves a long one out, and then `is_omitted`."""
    return "(long input)" if is_omitted else text_of(value)


def sentence_of(error: str | Mapping[str, object] | None) -> str | None:
    """What an error says, as a sentence; None for None."""
    if error is None or isinstance(error, str):
        return error
    title, detail, instance = (error.get(name) for name in ("title", "detail", "instance"))
    said = ": ".join(str(part) for part in (title, detail) if part) or str(error.get("type", "an error"))
    return f"{said} (at {instance})" if instance and instance != "/" else said
