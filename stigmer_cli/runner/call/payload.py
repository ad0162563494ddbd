"""The payload of a message: JSON as its value, and anything else as text."""

import json

from stigmer_cli.json_text import read_json
from stigmer_cli.workflow.json_value import Json


def write_payload(value: Json) -> str:
    """A text as it is, and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_payload(content: bytes | str) -> Json:
    """The value of JSON, and anything else as text."""
    try:
        found: Json = read_json(content)
    except ValueError:
        return content if isinstance(content, str) else content.decode("utf-8", "replace")
    return found
