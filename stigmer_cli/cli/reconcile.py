"""`stigmer executions reconcile`: bring orphaned executions back, with a preview and one question."""

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format, fit
from stigmer_cli.cli.wait import WAIT, wait_s
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ConfigError, Conflict, TemporalUnavailable, TimedOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest, ReconcileSummary
    from stigmer_cli.client import Client

SHOWN_MAX = 20
CAUSE_MIN = 20
FIXED = 30 + 8 + 11 + 3 * 2
"""The columns of an id, a finding and an outcome, and the gaps between four columns."""

AGAIN_S = 0.5
UNMENDED = frozenset({"skipped: changed", "failed"})


def reconcile(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these; also tries again.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    wait: Annotated[str | None, WAIT] = None,
    older_than: Annotated[float, typer.Option(metavar="S", min=0, help="Only older than S seconds.")] = 0.0,
    phase: Annotated[list[Phase] | None, typer.Option(case_sensitive=False, help="Only these phases.")] = None,
    kind: Annotated[list[Kind] | None, typer.Option(case_sensitive=False, help="Only these kinds.")] = None,
    include_in_progress: Annotated[
        bool, typer.Option("--include-in-progress", help="Also start lost ones over; their effects may repeat.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Look at so many at the most.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the result is printed.")] = Format.TABLE,
) -> None:
    """Submit orphaned executions again, take over outcomes, mark what was lost.

    An orphan is PENDING and Temporal has no workflow for it, so no run ever had an effect: submitting it again is safe.
    """
    from stigmer_cli.api.reconcile import ReconcileRequest  # noqa: PLC0415 - pydantic is not imported for --help

    cli = cli_of(ctx)
    cli.show(output)
    if not (dry_run or yes or cli.out.can_ask):
        raise ConfigError(
            "reconcile asks first, and there is no terminal to ask on",
            hint="stigmer executions reconcile --yes, or --dry-run to look only",
        )
    request = ReconcileRequest(
        ids=ids or [],
        phases=phase or [],
        kinds=kind or [],
        older_than_s=older_than,
        limit=limit,
        include_in_progress=include_in_progress,
        dry_run=dry_run,
        asked_by=f"stigmer executions reconcile (pid {os.getpid()})",
    )
    waits_s = wait_s(wait)
    raise typer.Exit(cli.call(lambda client: _reconcile(cli, client, request, waits_s, is_sure=dry_run or yes)))


async def _reconcile(
    cli: Cli, client: "Client", request: "ReconcileRequest", waits_s: float | None, *, is_sure: bool
) -> int:
    if request.include_in_progress:
        cli.out.warning("lost executions are started over: what their old runs did may be done again")
    if not is_sure:
        preview = request.model_copy(update={"dry_run": True})
        items, summary = await _ask(cli, client, preview, waits_s)
        cli.out.stderr.print(_moves(items, summary, is_done=False, width=cli.out.stderr.width))
        if not any(item.action != "none" for item in items):
            return 0
        typer.confirm("Carry this out?", abort=True, err=True)
    items, summary = await _ask(cli, client, request, waits_s)
    _print(cli, request, items, summary)
    return 1 if summary.failed or any(item.outcome in UNMENDED or item.found == "unknown" for item in items) else 0


async def _ask(
    cli: Cli, client: "Client", request: "ReconcileRequest", waits_s: float | None
) -> "tuple[Sequence[ReconcileItem], ReconcileSummary]":
    """What the server answers; with `waits_s`, once Temporal is there and nobody else reconciles."""
    deadline = cli.clock.monotonic() + (waits_s or 0.0)
    told = ""
    while True:
        try:
            return await _collect(cli, client, request)
        except (TemporalUnavailable, Conflict) as error:
            if waits_s is None:
                raise
            if error.message != told:
                cli.out.note(f"waiting: {error.message}")
                told = error.message
            if cli.clock.monotonic() >= deadline:
                raise TimedOut(f"still waiting after {waits_s:g} s: {error.message}", hint=error.hint) from error
            await asyncio.sleep(AGAIN_S)


async def _collect(
    cli: Cli, client: "Client", request: "ReconcileRequest"
) -> "tuple[Sequence[ReconcileItem], ReconcileSummary]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - only with work

    from stigmer_cli.api.reconcile import ReconcileItem, ReconcileSummary  # noqa: PLC0415 - pydantic

    items: list[ReconcileItem] = []
    summary = ReconcileSummary()
    columns = (TextColumn("reconciling"), BarColumn(), MofNCompleteColumn())
    is_shown = cli.out.is_interactive and not request.dry_run
    with Progress(*columns, console=cli.out.stderr, transient=True, disable=not is_shown) as progress:
        bar = progress.add_task("reconciling", total=None)
        async for found in client.reconcile(request):
            if isinstance(found, ReconcileSummary):
                summary = found
                continue
            cli.out.stream({"item": found.to_wire()})
            items.append(found)
            progress.advance(bar)
    return items, summary


def _print(
    cli: Cli, request: "ReconcileRequest", items: "Sequence[ReconcileItem]", summary: "ReconcileSummary"
) -> None:
    if cli.out.format is Format.STREAM_JSON:
        cli.out.stream({"dryRun": request.dry_run, "summary": summary.to_wire()})
        return
    data = {
        "dryRun": request.dry_run,
        "items": [item.to_wire() for item in items],
        "summary": summary.to_wire(),
    }
    cli.out.result(data, lambda console: _table(console, items, summary, is_dry_run=request.dry_run))


def _table(
    console: Console, items: "Sequence[ReconcileItem]", summary: "ReconcileSummary", *, is_dry_run: bool
) -> None:
    if items:
        console.print(_moves(items, summary, is_done=not is_dry_run, width=console.width))
    counts = [
        f"{number} {word}"
        for word, number in summary.to_wire().items()
        if number and word not in ("examined", "skipped")
    ]
    words = ", ".join(counts) or "nothing to do"
    console.print(f"{'would be: ' if is_dry_run else ''}{words} ({summary.examined} examined)", soft_wrap=True)


def _moves(
    items: "Sequence[ReconcileItem]", summary: "ReconcileSummary", *, is_done: bool, width: int
) -> RenderableType:
    """Counts by class, then each move with its cause, cut at `SHOWN_MAX`."""
    classes = Counter(item.found for item in items)
    head = ", ".join(f"{number} {name}" for name, number in classes.most_common()) or "nothing out of line"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ID", "FOUND", "OUTCOME" if is_done else "ACTION", "CAUSE"):
        table.add_column(name, no_wrap=True)
    for item in items[:SHOWN_MAX]:
        words = item.outcome if is_done else item.action
        table.add_row(item.id, item.found, words, escape(fit(item.cause, max(CAUSE_MIN, width - FIXED))))
    more = [f"... and {len(items) - SHOWN_MAX} more"] if len(items) > SHOWN_MAX else []
    return Group(f"{head} ({summary.examined} examined)", *([table] if items else []), *more)
