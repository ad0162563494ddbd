"""Declares the commands about agents; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Yes

AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name or id.")]
Files = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", metavar="FILE", help="A YAML file, a folder of YAML files, or '-' for standard input."
    ),
]

agents = typer.Typer(help="List, show and delete agents.")


def apply(ctx: typer.Context, *, file: Files, output: OutputFormat = Format.TABLE) -> None:
    """Create or update agents from YAML files: all of them, or none.

    \b
    apiVersion: agentic.stigmer.ai/v1
    kind: Agent
    metadata: {name: greeter}
    spec:
      description: says hello
      instructions: Greet the person who writes to you.
      model: echo
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    from stigmer_cli.cli.agents.apply import apply_files

    apply_files(cli_of(ctx, output), file)


@agents.command("list")
def list_(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show at most this many.")] = 1000,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List agents by name."""
    from stigmer_cli.cli.agents.list import list_agents

    list_agents(cli_of(ctx, output), limit=limit)


@agents.command("get")
def get(ctx: typer.Context, agent: AgentName, *, output: OutputFormat = Format.TABLE) -> None:
    """Show one agent."""
    from stigmer_cli.cli.agents.get import show_agent

    show_agent(cli_of(ctx, output), agent)


@agents.command("delete")
def delete(ctx: typer.Context, agent: AgentName, *, yes: Yes = False, output: OutputFormat = Format.TABLE) -> None:
    """Delete an agent. Its executions stay."""
    from stigmer_cli.cli.agents.delete import delete_agent

    delete_agent(cli_of(ctx, output), agent, is_agreed=yes)
