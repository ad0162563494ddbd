"""`--limit NAME=N`: limits of one execution, as they are typed; `NAME=none` takes one away."""

import re
from collections.abc import Sequence

from stigmer_cli.api.agent_tools import LimitsBody
from stigmer_cli.api.waiting import WaitingBody
from stigmer_cli.domain.stuck import RESUME
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import ConfigError
from stigmer_cli.nearest import suggest_nearest

WHOLE = ("turns", "toolCalls", "tokens")
HELP = "stigmer help tools"
NAMES = (*WHOLE, "seconds", "money")
NONE = "none"
_REACHED = re.compile(rf"\(spec\.limits\.({'|'.join(NAMES)})\)")


def parse_limits(typed: Sequence[str] | None) -> LimitsBody | None:
    """The limits that were typed; None if there are none. Raises ConfigError that says what to write."""
    found: dict[str, float] = {}
    for text in typed or ():
        name, equals, value = text.partition("=")
        if not equals or name not in NAMES:
            known = ", ".join(NAMES)
            raise ConfigError(f"{text!r} is not a limit: write NAME=N, with one of {known}{_suggest(name)}", hint=HELP)
        if name in found:
            raise ConfigError(f"the limit {name} is given twice", hint=HELP)
        found[name] = _parse_number(name, value)
    return LimitsBody.model_validate(found) if found else None


def split_limits(typed: Sequence[str] | None) -> tuple[LimitsBody | None, list[str]]:
    """As `parse_limits`, and the names of those that are taken away."""
    ends = {f"{name}={NONE}": name for name in NAMES}
    lifted = [ends[text] for text in typed or () if text in ends]
    found = parse_limits([text for text in typed or () if text not in ends])
    names = [*lifted, *(found.to_document() if found else ())]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"the limit {twice} is given twice", hint=HELP)
    return found, lifted


def describe_way_on(execution: str, waiting: WaitingBody) -> str:
    """What has a paused execution go on; behind a limit, with that limit by its name."""
    if waiting.wait_for != WaitFor.LIMIT:
        return f"{RESUME} {execution}"
    reached = _REACHED.search(waiting.cause)
    return f"{RESUME} {execution} --limit {reached[1] if reached else 'NAME'}=N"


def _suggest(name: str) -> str:
    return "" if name in NAMES else suggest_nearest(name, NAMES)


def _parse_number(name: str, text: str) -> float:
    """The number, which the server would take; raises ConfigError."""
    try:
        number = int(text) if name in WHOLE else float(text)
        LimitsBody.model_validate({name: number})
    except ValueError as error:  # pydantic's, too
        kind = "a whole number" if name in WHOLE else "a number"
        least = "at least 0" if name == "toolCalls" else "more than 0"
        raise ConfigError(f"the limit {name} is {kind}, {least}, and not {text!r}", hint=HELP) from error
    return number
