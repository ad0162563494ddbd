"""The options and arguments that several commands take, each declared once."""

from typing import Annotated

import typer

from stigmer_cli.cli.output import Format
from stigmer_cli.cli.wait import WAIT_OPTION as WAIT
from stigmer_cli.time_format import parse_span, span

SPAN_MAX_S = 1e9


def parse_span_option(value: str | float) -> float:
    """A span of time in seconds; raises BadParameter."""
    try:
        seconds = parse_span(str(value))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if seconds > SPAN_MAX_S:
        raise typer.BadParameter(f"{value} is longer than {span(SPAN_MAX_S)}")
    return seconds


def parse_timeout_option(value: str | float) -> float:
    """As `parse_span_option`, and more than nothing."""
    seconds = parse_span_option(value)
    if not seconds:
        raise typer.BadParameter("a time-out is more than 0 seconds")
    return seconds


OutputFormat = Annotated[
    Format,
    typer.Option("--output", "-o", metavar="FORMAT", help="How to print the result: table, json or stream-json."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
WaitFor = Annotated[str | None, typer.Option(WAIT, metavar="[=SPAN]", help="Wait for Temporal, for SPAN at most.")]
WaitTimeout = Annotated[
    float,
    typer.Option(
        parser=parse_timeout_option,
        metavar="SPAN",
        help="Fail if the stack is not ready within SPAN. Default: 1m.",
        show_default=False,
    ),
]
