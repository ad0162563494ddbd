"""Declares `executions approve` and `executions deny`; each imports its body when it runs."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.executions.options import DecideOptions
from stigmer_cli.cli.executions.parameters import AgentOption, OlderThan, SessionOption, WorkflowOption, select
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import Labels, OutputFormat, SearchText, Since, Until, Yes

Execution = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="Only this one: an id, four or more characters of it, or @last."),
]
Step = Annotated[
    str | None,
    typer.Argument(metavar="[STEP]", help="Only the call with this key of a step, as list and get show it."),
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why. The model is told the reason for a denial.")
]
All = Annotated[bool, typer.Option("--all", help="All calls that wait for a decision.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be decided.")]


def approve(
    ctx: typer.Context,
    execution: Execution = None,
    step: Step = None,
    *,
    reason: Reason = None,
    arguments: Annotated[
        str | None,
        typer.Option(
            "--arguments", metavar="JSON", help="Perform the call with these arguments, not with the model's."
        ),
    ] = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    session: SessionOption = None,
    label: Labels = None,
    search: SearchText = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    all_: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Approve calls of tools that wait for you: they are performed.

    Several calls, and those that options select, are shown first, and approved after a question. Exits 0 if all are
    approved.
    """
    _decide(ctx, output, is_approval=True)


def deny(
    ctx: typer.Context,
    execution: Execution = None,
    step: Step = None,
    *,
    reason: Reason = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    session: SessionOption = None,
    label: Labels = None,
    search: SearchText = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    all_: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Deny calls of tools that wait for you: the model is told why.

    Several calls, and those that options select, are shown first, and denied after a question. Exits 0 if all are
    denied.
    """
    _decide(ctx, output, is_approval=False)


def _decide(ctx: typer.Context, output: Format, *, is_approval: bool) -> None:
    from stigmer_cli.cli.executions.decide import decide_calls

    given = ctx.params
    options = DecideOptions(
        is_approval=is_approval,
        step=given["step"],
        reason=given["reason"] or "",
        arguments=given.get("arguments"),
        is_all=given["all_"],
        is_dry_run=given["dry_run"],
        is_agreed=given["yes"],
    )
    raise typer.Exit(decide_calls(cli_of(ctx, output), select(ctx), options))
