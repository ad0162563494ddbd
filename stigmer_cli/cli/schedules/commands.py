"""Declares the commands about schedules; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat
from stigmer_cli.cli.sections import make_group

WorkflowName = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow: NAME, or NAMESPACE/NAME.")]

schedules = make_group("List, pause and resume schedules of workflows.")


@schedules.command("list")
def list_(ctx: typer.Context, *, output: OutputFormat = Format.TABLE) -> None:
    """List schedules, with the time of the next execution."""
    from stigmer_cli.cli.schedules.list import list_schedules

    list_schedules(cli_of(ctx, output, is_look=True))


@schedules.command("pause")
def pause(ctx: typer.Context, workflow: WorkflowName, *, output: OutputFormat = Format.TABLE) -> None:
    """Pause the schedules of a workflow. Executions under way go on."""
    from stigmer_cli.cli.schedules.pause import set_paused

    set_paused(cli_of(ctx, output), workflow, is_paused=True)


@schedules.command("resume")
def resume(ctx: typer.Context, workflow: WorkflowName, *, output: OutputFormat = Format.TABLE) -> None:
    """Resume the schedules of a workflow. Times that passed while they were paused are not made up for."""
    from stigmer_cli.cli.schedules.pause import set_paused

    set_paused(cli_of(ctx, output), workflow, is_paused=False)
