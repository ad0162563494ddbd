"""Says in a sentence what is wrong with the arguments that a client gave a tool."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from stigmer_cli.errors import RequestError
from stigmer_cli.nearest import suggest_nearest

PROBLEMS_MAX = 5


def refuse_arguments(tool: str, error: ValidationError, schema: Mapping[str, Any]) -> RequestError:
    """Why `tool`, which takes the arguments that `schema` describes, was not called with others."""
    known = tuple(schema.get("properties", {}))
    found = error.errors(include_url=False, include_context=False, include_input=False)
    said = [_describe(problem["type"], problem["loc"], problem["msg"], known) for problem in found[:PROBLEMS_MAX]]
    takes = f"{tool} takes {', '.join(known)}" if known else f"{tool} takes no arguments"
    return RequestError(f"{tool} was not called: {'; '.join(said)}", hint=takes)


def _describe(kind: str, place: tuple[int | str, ...], message: str, known: tuple[str, ...]) -> str:
    name = ".".join(map(str, place))
    match kind:
        case "extra_forbidden":
            return f"it has no argument {name!r}{suggest_nearest(name, known)}"
        case "missing":
            return f"the argument {name!r} is missing"
        case _ if message.startswith("Input should "):
            return f"the argument {name!r} {message.removeprefix('Input ')}"
        case _:
            return f"the argument {name!r} is wrong: {message[:1].lower()}{message[1:]}"
