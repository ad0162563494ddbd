"""Declares `executions approve` and `executions deny`; each imports its body when it runs."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.executions.options import DecideOptions, Selection
from stigmer_cli.cli.executions.parameters import AgentOption, OlderThan
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
    from stigmer_cli.cli.executions.decide import decide_calls

    selection = Selection(
        ids=[execution] if execution else (),
        agent=agent,
        older_than_s=older_than,
        labels=label or (),
        search=search,
        since=since,
        until=until,
    )
    options = DecideOptions(
        is_approval=True,
        step=step,
        reason=reason or "",
        arguments=arguments,
        is_all=all_,
        is_dry_run=dry_run,
        is_agreed=yes,
    )
    raise typer.Exit(decide_calls(cli_of(ctx, output), selection, options))


def deny(
    ctx: typer.Context,
    execution: Execution = None,
    step: Step = None,
    *,
    reason: Reason = None,
    agent: AgentOption = None,
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
    from stigmer_cli.cli.executions.decide import decide_calls

    selection = Selection(
        ids=[execution] if execution else (),
        agent=agent,
        older_than_s=older_than,
        labels=label or (),
        search=search,
        since=since,
        until=until,
    )
    options = DecideOptions(
        is_approval=False,
        step=step,
        reason=reason or "",
        arguments=None,
        is_all=all_,
        is_dry_run=dry_run,
        is_agreed=yes,
    )
    raise typer.Exit(decide_calls(cli_of(ctx, output), selection, options))
