"""`--wait[=S]`: wait for ever, or for S seconds."""

import math
from collections.abc import Sequence

from stigmer_cli.errors import ConfigError

FOREVER = "forever"
NAME = "--wait"
ONLY_ARGUMENTS = "--"
"""Nothing behind it is an option."""


def with_value(arguments: Sequence[str]) -> list[str]:
    """`arguments` with the value that a bare `--wait` stands for: the parser knows no optional ones."""
    options_end = arguments.index(ONLY_ARGUMENTS) if ONLY_ARGUMENTS in arguments else len(arguments)
    options = [f"{NAME}={FOREVER}" if argument == NAME else argument for argument in arguments[:options_end]]
    return [*options, *arguments[options_end:]]


def wait_s(text: str | None) -> float | None:
    """How long to wait, in seconds: None not at all, infinity for ever; raises ConfigError."""
    if text is None:
        return None
    try:
        seconds = math.inf if text == FOREVER else float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise ConfigError(f"{NAME}={text}: not a number of seconds", hint=f"{NAME}, or {NAME}=30")
    return seconds
