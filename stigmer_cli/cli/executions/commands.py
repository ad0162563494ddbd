"""Declares the commands about executions; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.executions.decision_commands import approve, deny
from stigmer_cli.cli.executions.options import (
    CancelOptions,
    Message,
    Paging,
    PruneOptions,
    ReconcileOptions,
    ResumeOptions,
    RunOptions,
)
from stigmer_cli.cli.executions.parameters import (
    AgentOption,
    Detach,
    ExecutionName,
    FromStep,
    IdempotencyKey,
    IncludeInProgress,
    Kinds,
    LimitOptions,
    NewLabels,
    NewSession,
    OlderThan,
    Phases,
    RequireTemporal,
    RunTimeout,
    SessionOption,
    Waiting,
    WorkflowOption,
    select,
)
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import (
    Labels,
    OutputFormat,
    SearchText,
    Since,
    Until,
    WaitFor,
    Yes,
    parse_span_option,
    parse_timeout_option,
)
from stigmer_cli.cli.sections import make_group
from stigmer_cli.cli.wait import parse_wait

executions = make_group("List, watch, approve, deny, resume and cancel executions.")


def run(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="What to run, by name; agent/NAME or workflow/NAME says which."),
    ],
    message: Annotated[
        str | None,
        typer.Argument(
            metavar="[MESSAGE]",
            help="The message to the agent; - reads it from standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="Read the message from this file instead.")
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", metavar="JSON", help="The input of a workflow: JSON, @FILE, or '-' for standard input."
        ),
    ] = None,
    session: NewSession = None,
    detach: Detach = False,
    timeout: RunTimeout = None,
    require_temporal: RequireTemporal = False,
    idempotency_key: IdempotencyKey = None,
    label: NewLabels = None,
    limit: LimitOptions = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Run an agent or a workflow, and print its output.

    Exits 1 if the execution fails or is paused.
    """
    from stigmer_cli.cli.executions.run import run_name

    options = RunOptions(
        timeout_s=timeout,
        key=idempotency_key,
        require_temporal=require_temporal,
        is_detached=detach,
        labels=label or (),
        limits=limit or (),
        session=session,
        given_input=given,
    )
    raise typer.Exit(run_name(cli_of(ctx, output), name, Message(text=message, file=file), options))


@executions.command("list")
def list_(
    ctx: typer.Context,
    *,
    phase: Phases = None,
    kind: Kinds = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    session: SessionOption = None,
    label: Labels = None,
    search: SearchText = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only executions that make no progress, with class and cause.")
    ] = False,
    waiting: Waiting = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most this many.")] = 50,
    all_: Annotated[bool, typer.Option("--all", help="Show all of them.")] = False,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Continue an earlier list from its nextCursor.")
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List executions, newest first."""
    from stigmer_cli.cli.executions.list import list_executions

    selection = select(ctx)
    page = Paging(limit=None if all_ else limit, cursor=cursor)
    list_executions(cli_of(ctx, output, is_look=True), selection, page, is_stuck=stuck)


@executions.command("get")
def get(
    ctx: typer.Context,
    execution: ExecutionName,
    *,
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="STEP", help="Show this step, by number or key, with its input and its result."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show one execution: its phase, its steps and its timeline."""
    from stigmer_cli.cli.executions.get import show_execution
    from stigmer_cli.cli.executions.steps import show_step

    if step is None:
        show_execution(cli_of(ctx, output, is_look=True), execution)
    else:
        show_step(cli_of(ctx, output, is_look=True), execution, step)


@executions.command("watch")
def watch(
    ctx: typer.Context,
    execution: ExecutionName,
    *,
    timeout: Annotated[
        float | None, typer.Option(parser=parse_timeout_option, metavar="SPAN", help="How long to wait for the end.")
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Follow an execution to its end. Exits 1 if it fails."""
    from stigmer_cli.cli.executions.watch import watch_execution

    raise typer.Exit(watch_execution(cli_of(ctx, output, is_look=True), execution, timeout_s=timeout))


@executions.command("cancel")
def cancel(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Only these: an id, four or more characters of it, or @last."),
    ] = None,
    *,
    phase: Phases = None,
    kind: Kinds = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    session: SessionOption = None,
    label: Labels = None,
    search: SearchText = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    waiting: Waiting = False,
    all_: Annotated[bool, typer.Option("--all", help="All open executions.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be cancelled.")] = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Ask executions to end: those named, or those selected. One that no run has claimed ends at once.

    What options select is shown first, and cancelled after a question.
    """
    from stigmer_cli.cli.executions.cancel import cancel_executions

    selection = select(ctx)
    options = CancelOptions(is_all=all_, is_dry_run=dry_run, is_agreed=yes)
    raise typer.Exit(cancel_executions(cli_of(ctx, output), selection, options))


@executions.command("resume")
def resume(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Only these: an id, four or more characters of it, or @last-failed."),
    ] = None,
    *,
    repeat: Annotated[
        str | None, typer.Option("--repeat", metavar="STEP", help="Perform this step again, whatever it did before.")
    ] = None,
    skip: Annotated[str | None, typer.Option("--skip", metavar="STEP", help="Go on as if this step were done.")] = None,
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="What the step of --skip returned; null by default.")
    ] = None,
    from_: FromStep = None,
    limit: LimitOptions = None,
    phase: Phases = None,
    kind: Kinds = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    session: SessionOption = None,
    label: Labels = None,
    search: SearchText = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    waiting: Waiting = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be resumed.")] = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Have executions go on where they stopped.

    They go on after a failure, a pause or your decision. What they finished is not done again. What options select is
    resumed after a question. Exits 0 if all go on.
    """
    from stigmer_cli.cli.executions.resume import resume_executions

    selection = select(ctx)
    options = ResumeOptions(
        repeat=repeat, skip=skip, result=result, forget_from=from_, limits=limit, is_dry_run=dry_run, is_agreed=yes
    )
    raise typer.Exit(resume_executions(cli_of(ctx, output), selection, options))


@executions.command("rerun")
def rerun(
    ctx: typer.Context,
    execution: ExecutionName,
    *,
    detach: Detach = False,
    timeout: RunTimeout = None,
    require_temporal: RequireTemporal = False,
    idempotency_key: IdempotencyKey = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Run it again from the beginning, as a new execution.

    The agent, the message and the labels are the same. The old one stays as it is. Exits 1 if the new one fails.
    """
    from stigmer_cli.cli.executions.rerun import rerun_execution

    options = RunOptions(timeout_s=timeout, key=idempotency_key, require_temporal=require_temporal, is_detached=detach)
    raise typer.Exit(rerun_execution(cli_of(ctx, output), execution, options))


@executions.command("fork")
def fork(
    ctx: typer.Context,
    execution: ExecutionName,
    *,
    from_: Annotated[str, typer.Option("--from", metavar="STEP", help="The first step that is performed again.")],
    message: Annotated[
        str | None,
        typer.Option("--message", metavar="MESSAGE", help="Say this before the step, which must be a turn: /turns/2."),
    ] = None,
    detach: Detach = False,
    timeout: RunTimeout = None,
    require_temporal: RequireTemporal = False,
    idempotency_key: IdempotencyKey = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Go on from a step of it, as a new execution.

    The new one takes over what was recorded before that step. The old one stays as it is. Exits 1 if the new one fails.
    """
    from stigmer_cli.cli.executions.fork import fork_execution

    options = RunOptions(timeout_s=timeout, key=idempotency_key, require_temporal=require_temporal, is_detached=detach)
    raise typer.Exit(fork_execution(cli_of(ctx, output), execution, from_, message, options))


@executions.command("prune")
def prune(
    ctx: typer.Context,
    *,
    older_than: Annotated[
        float,
        typer.Option(parser=parse_span_option, metavar="SPAN", help="Only executions accepted longer ago: 12h, 30d."),
    ],
    phase: Phases = None,
    kind: Kinds = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    label: Labels = None,
    search: SearchText = None,
    keep_last: Annotated[int, typer.Option(min=0, metavar="N", help="Keep the newest N of those selected.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Delete executions that have ended, after a question.

    Their messages and timelines are deleted with them. The setting `retention` does the same by itself: see stigmer
    help executions.
    """
    from stigmer_cli.cli.executions.prune import prune_executions

    selection = select(ctx)
    options = PruneOptions(keep_last=keep_last, is_dry_run=dry_run, is_agreed=yes)
    raise typer.Exit(prune_executions(cli_of(ctx, output), selection, options))


@executions.command("reconcile")
def reconcile(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Only these, including those that Temporal refused.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    wait: WaitFor = None,
    older_than: OlderThan = 0.0,
    phase: Phases = None,
    kind: Kinds = None,
    include_in_progress: IncludeInProgress = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Act on N executions at most.")] = None,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Submit again the executions whose workflow Temporal has lost.

    Such an orphan is PENDING: no run of it has had an effect, so submitting it again is safe. Reconcile also takes
    outcomes from Temporal that the store has missed, and marks lost executions for your attention.

    Exit code 0: nothing is left to do; 1: something is left; 4: Temporal is away, and nothing was changed.
    """
    from stigmer_cli.cli.executions.reconcile import reconcile_executions

    selection = select(ctx)
    options = ReconcileOptions(
        limit=limit,
        waits_s=parse_wait(wait),
        include_in_progress=include_in_progress,
        is_dry_run=dry_run,
        is_agreed=yes,
    )
    raise typer.Exit(reconcile_executions(cli_of(ctx, output), selection, options))


executions.command("approve")(approve)
executions.command("deny")(deny)
