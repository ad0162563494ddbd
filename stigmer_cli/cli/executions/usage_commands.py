"""Declares `usage`, which imports its body when it runs."""

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.executions.parameters import AgentOption
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Since, Until


def usage(
    ctx: typer.Context,
    *,
    since: Since = "30d",
    until: Until = None,
    agent: AgentOption = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show what models used, by agent and model: executions, tokens, and cost by list prices."""
    from stigmer_cli.cli.executions.usage import show_usage

    show_usage(cli_of(ctx, output), since=since, until=until, agent=agent)
