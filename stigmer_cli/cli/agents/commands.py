"""Declares the commands about agents; each imports its body when it runs, so that `--help` loads none of them."""

from enum import StrEnum
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Yes
from stigmer_cli.cli.sections import make_group

AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name or id.")]
Files = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", metavar="FILE", help="A YAML file, a folder of YAML files, or '-' for standard input."
    ),
]

agents = make_group("List, show and delete agents.")


class AgentFormat(StrEnum):
    """How agents are printed: as other results are, or as the YAML that `apply` takes."""

    TABLE = Format.TABLE.value
    JSON = Format.JSON.value
    STREAM_JSON = Format.STREAM_JSON.value
    YAML = "yaml"

    @property
    def fallback(self) -> Format:
        """The format of everything but the agents: of errors, for example."""
        return Format.TABLE if self is AgentFormat.YAML else Format(self.value)


AgentOutput = Annotated[
    AgentFormat,
    typer.Option(
        "--output", "-o", metavar="FORMAT", help="How to print the result: table, json, stream-json, or yaml to apply."
    ),
]


def apply(
    ctx: typer.Context,
    *,
    file: Files,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the server check the files, and only show what would be done.")
    ] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Create or update agents and workflows, all or none.

    \b
    apiVersion: agentic.stigmer.ai/v1
    kind: Agent
    metadata: {name: greeter}
    spec:
      description: says hello
      instructions: Greet the person who writes to you.
      model: echo

    A workflow is a document of the Open Workflow DSL as it is (stigmer help workflows).
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    from stigmer_cli.cli.agents.apply import apply_files

    apply_files(cli_of(ctx, output), file, is_dry_run=dry_run)


def diff(ctx: typer.Context, *, file: Files, output: OutputFormat = Format.TABLE) -> None:
    """Show what applying YAML files would change. Exit code 0: nothing; 1: something."""
    from stigmer_cli.cli.agents.diff import diff_files

    raise typer.Exit(diff_files(cli_of(ctx, output), file))


@agents.command("list")
def list_(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show at most this many.")] = 1000,
    output: AgentOutput = AgentFormat.TABLE,
) -> None:
    """List agents by name, each with its number of executions."""
    from stigmer_cli.cli.agents.list import list_agents

    list_agents(cli_of(ctx, output.fallback, is_look=True), limit=limit, is_yaml=output is AgentFormat.YAML)


@agents.command("get")
def get(ctx: typer.Context, agent: AgentName, *, output: AgentOutput = AgentFormat.TABLE) -> None:
    """Show one agent. With -o yaml, as a file that apply takes."""
    from stigmer_cli.cli.agents.get import show_agent

    show_agent(cli_of(ctx, output.fallback, is_look=True), agent, is_yaml=output is AgentFormat.YAML)


@agents.command("delete")
def delete(ctx: typer.Context, agent: AgentName, *, yes: Yes = False, output: OutputFormat = Format.TABLE) -> None:
    """Delete an agent. Its executions stay."""
    from stigmer_cli.cli.agents.delete import delete_agent

    delete_agent(cli_of(ctx, output), agent, is_agreed=yes)
