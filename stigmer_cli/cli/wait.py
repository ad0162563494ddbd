"""`--wait[=SPAN]`: wait without limit, or for that long."""

import math
from collections.abc import Sequence

from stigmer_cli.errors import ConfigError
from stigmer_cli.time_format import parse_span

FOREVER = "forever"
WAIT_OPTION = "--wait"
ONLY_ARGUMENTS = "--"
"""What follows it is no option."""


def expand_bare_wait(arguments: Sequence[str]) -> list[str]:
    """`arguments` with a value for each bare `--wait`: the parser knows no options with an optional value."""
    options_end = arguments.index(ONLY_ARGUMENTS) if ONLY_ARGUMENTS in arguments else len(arguments)
    options = [
        f"{WAIT_OPTION}={FOREVER}" if argument == WAIT_OPTION else argument for argument in arguments[:options_end]
    ]
    return [*options, *arguments[options_end:]]


def parse_wait(text: str | None) -> float | None:
    """How long to wait, in seconds: None for not at all, infinity for no limit; raises ConfigError."""
    if text is None:
        return None
    try:
        return math.inf if text == FOREVER else parse_span(text)
    except ValueError as error:
        raise ConfigError(f"{WAIT_OPTION}: {error}", hint=f"{WAIT_OPTION}, or {WAIT_OPTION}=30s") from None
