"""The options and arguments that several commands take, each declared once."""

from datetime import datetime
from typing import Annotated

import typer

from stigmer_cli.cli.output import Format
from stigmer_cli.cli.wait import WAIT_OPTION as WAIT
from stigmer_cli.domain.labels import parse_label_selector
from stigmer_cli.domain.search import parse_search
from stigmer_cli.domain.session import find_name_problem
from stigmer_cli.errors import ConfigError
from stigmer_cli.time_format import parse_moment, parse_span, span

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


def parse_label_option(value: str) -> str:
    """`value` if it is `key=value` or `key`; raises BadParameter."""
    try:
        return str(parse_label_selector(value))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_session_option(value: str) -> str:
    """`value` if it can name a session; raises BadParameter."""
    problem = find_name_problem(value)
    if problem:
        raise typer.BadParameter(problem)
    return value


def parse_search_option(value: str) -> str:
    """`value` if it has a word to search for; raises BadParameter."""
    try:
        parse_search(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value


def read_moment(option: str, text: str | None, now: datetime, *, hint: str) -> datetime | None:
    """The time that `text` names, as people say it; None for None.

    Raises ConfigError, which names `option` and has `hint`.
    """
    try:
        return None if text is None else parse_moment(text, now)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}", hint=hint) from None


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
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        parser=parse_label_option,
        metavar="LABEL",
        help="Only executions with this label: key=value, or key for any value. May be repeated.",
    ),
]
SearchText = Annotated[
    str | None,
    typer.Option(
        "--search",
        parser=parse_search_option,
        metavar="TEXT",
        help="Only executions whose message, output or error contains all words of TEXT, "
        '"words in quotes" in this order. word* is the beginning of a word.',
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only executions accepted since TIME: 10m, 2h, yesterday, 14:30, 2026-11-25 14:30, in local time, "
        "or 2026-11-25T14:30Z.",
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only executions accepted before TIME.")]
