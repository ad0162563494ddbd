"""What an execution of a workflow takes and gives, which the store keeps as JSON text: input, output and error."""

from collections.abc import Mapping

from pydantic import JsonValue
from pydantic_core import from_json

from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.phase import Phase
from stigmer_cli.json_text import is_deeper, read_whole

LISTED_CHARS_MAX = 10_000
"""A list leaves a longer input or output of a workflow out: a page of them would be hundreds of megabytes."""

SHOWN_DEPTH_MAX = 128
ERROR_TYPES = "https://open-workflow-specification.org/spec/1.0.0/errors/"
"""Where the specification keeps its types of errors."""


def parse_kept(text: str | None) -> JsonValue:
    """The value in `text`, which the store keeps; None for None.

    Earlier versions kept half characters, and what is nested too deeply to be sent: that is shown as its text.
    """
    try:
        value: JsonValue = None if text is None else from_json(text)
    except ValueError:
        value = read_whole(text or "")
        return text if is_deeper(value, SHOWN_DEPTH_MAX) else value
    return value


def parse_error(execution: Execution) -> dict[str, JsonValue] | None:
    """The error of an execution that failed or was cancelled, in the form of the specification; None: it was not.

    What ended it from outside, such as a timeout or a person, gets a type of the specification and a sentence.
    """
    if execution.error_fields is not None:
        return dict(_mapping(parse_kept(execution.error_fields)))
    if execution.error is None:
        return None
    title = "Cancelled" if execution.phase is Phase.CANCELLED else "Runtime Error"
    return {"type": f"{ERROR_TYPES}runtime", "status": 500, "title": title, "detail": execution.error, "instance": "/"}


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {"detail": value}
