"""Declares `stigmer top`; its body is imported when it runs, so that `--help` loads none of it."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.parameters import parse_timeout_option


def top(
    ctx: typer.Context,
    *,
    interval: Annotated[
        float | None,
        typer.Option(parser=parse_timeout_option, metavar="SPAN", help="How often to refresh. Default: 1s."),
    ] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Begin with the stuck executions only.")] = False,
) -> None:
    """Watch the stack and its executions, full screen.

    Single keys act on the selected execution: get, cancel, reconcile; R restarts a part, q leaves.
    """
    from stigmer_cli.cli.top.run import run_top

    run_top(cli_of(ctx), interval_s=interval, is_stuck_only=stuck)
