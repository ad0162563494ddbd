"""Declares the commands about workflows; each imports its body when it runs, so that `--help` loads none of them."""

from enum import StrEnum
from typing import Annotated

import typer

from stigmer_cli.cli.agents.commands import AgentFormat, AgentOutput
from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Yes
from stigmer_cli.cli.sections import make_group

WorkflowFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A YAML or JSON file with one workflow, or '-' for standard input.")
]
WorkflowFiles = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="YAML or JSON files, folders of YAML files, or '-' for standard input."),
]

WorkflowName = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow: NAME, NAMESPACE/NAME, or its id.")]

workflows = make_group("List, show and delete workflows; check, draw and try files.")


class GraphFormat(StrEnum):
    """How a graph is printed."""

    TREE = "tree"
    MERMAID = "mermaid"
    JSON = "json"


GraphOutput = Annotated[
    GraphFormat,
    typer.Option("--output", "-o", metavar="FORMAT", help="How to print the graph: tree, mermaid, or json."),
]


@workflows.command("list")
def list_(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show at most this many.")] = 1000,
    output: AgentOutput = AgentFormat.TABLE,
) -> None:
    """List workflows by name, each with its number of executions."""
    from stigmer_cli.cli.workflows.list import list_workflows

    list_workflows(cli_of(ctx, output.fallback, is_look=True), limit=limit, is_yaml=output is AgentFormat.YAML)


@workflows.command("get")
def get(ctx: typer.Context, workflow: WorkflowName, *, output: AgentOutput = AgentFormat.TABLE) -> None:
    """Show one workflow with its tasks. With -o yaml, as a file that apply takes."""
    from stigmer_cli.cli.workflows.get import show_workflow

    show_workflow(cli_of(ctx, output.fallback, is_look=True), workflow, is_yaml=output is AgentFormat.YAML)


@workflows.command("delete")
def delete(
    ctx: typer.Context, workflow: WorkflowName, *, yes: Yes = False, output: OutputFormat = Format.TABLE
) -> None:
    """Delete a workflow. Its executions stay."""
    from stigmer_cli.cli.workflows.delete import delete_workflow

    delete_workflow(cli_of(ctx, output), workflow, is_agreed=yes)


@workflows.command("validate")
def validate(ctx: typer.Context, file: WorkflowFiles, *, output: OutputFormat = Format.TABLE) -> None:
    """Check workflows, and show each mistake with line and column. Exits 2 if there is one."""
    from stigmer_cli.cli.workflows.validate import validate_files

    validate_files(cli_of(ctx, output), file)


@workflows.command("graph")
def graph(ctx: typer.Context, file: WorkflowFile, *, output: GraphOutput = GraphFormat.TREE) -> None:
    """Draw a workflow as a tree, or as a Mermaid flowchart."""
    from stigmer_cli.cli.workflows.graph import draw_graph

    is_json = output is GraphFormat.JSON
    draw_graph(cli_of(ctx, Format.JSON if is_json else Format.TABLE), file, is_mermaid=output is GraphFormat.MERMAID)


@workflows.command("test")
def run_locally(
    ctx: typer.Context,
    file: WorkflowFile,
    *,
    given: Annotated[
        str | None,
        typer.Option("--input", "-i", metavar="JSON", help="The input: JSON, @FILE, or '-' for standard input."),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="JSON", help="An event, or a file of events, for tasks that listen."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Run a workflow in this process, to try it. Its calls are real; nothing is kept. Exits 1 if it faults."""
    from stigmer_cli.cli.workflows.local_run import run_workflow

    raise typer.Exit(run_workflow(cli_of(ctx, output), file, given, events or ()))
