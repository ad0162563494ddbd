"""A message as it is sent and taken: a payload of JSON is its value, and anything else is text."""

import json
from collections.abc import Mapping

from stigmer_cli.json_text import read_json
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest


def write_message(request: CallRequest) -> tuple[Mapping[str, str], str]:
    """The headers and the payload of the message in the arguments: a text as it is, and any other value as JSON."""
    message = request.arguments.get("message")
    given = message if isinstance(message, Mapping) else {}
    headers = given.get("headers")
    named = headers if isinstance(headers, Mapping) else {}
    own = {name: _write(value) for name, value in named.items() if value is not None}
    return own, _write(given.get("payload"))


def _write(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_payload(content: bytes | str) -> Json:
    """The value of JSON, and anything else as text."""
    try:
        found: Json = read_json(content)
    except ValueError:
        return content if isinstance(content, str) else content.decode("utf-8", "replace")
    return found
