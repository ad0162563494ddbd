"""Declares the commands about workflows; each imports its body when it runs, so that `--help` loads none of them."""

from enum import StrEnum
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat
from stigmer_cli.cli.sections import make_group

WorkflowFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A YAML or JSON file with one workflow, or '-' for standard input.")
]
WorkflowFiles = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="YAML or JSON files, folders of YAML files, or '-' for standard input."),
]

workflows = make_group("Check, draw and try workflows of the Open Workflow DSL. No stack is needed.")


class GraphFormat(StrEnum):
    """How a graph is printed."""

    TREE = "tree"
    MERMAID = "mermaid"
    JSON = "json"


GraphOutput = Annotated[
    GraphFormat,
    typer.Option("--output", "-o", metavar="FORMAT", help="How to print the graph: tree, mermaid, or json."),
]


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
