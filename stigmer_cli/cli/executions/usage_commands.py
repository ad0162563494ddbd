"""Declares `usage`, which imports its body when it runs."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.executions.parameters import AgentOption
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Since, Until
from stigmer_cli.domain.execution import UsageBy

By = Annotated[
    UsageBy, typer.Option("--by", metavar="WHAT", help="What a line is for: agent or workflow.", show_default=True)
]


def usage(
    ctx: typer.Context,
    *,
    since: Since = "30d",
    until: Until = None,
    agent: AgentOption = None,
    by: By = UsageBy.AGENT,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show what models used, by agent and model.

    That is executions, tokens, and the cost by list prices. By workflow: what the agents used that workflows called,
    and workflows below them.
    """
    from stigmer_cli.cli.executions.usage import show_usage

    show_usage(cli_of(ctx, output, is_look=True), since=since, until=until, agent=agent, by=by)
