"""`stigmer executions reconcile`: bring orphaned executions back, with a preview and one question."""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from stigmer_cli.cli.arguments import parse_execution_id
from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.retry import RETRY_MIN_S, is_passing
from stigmer_cli.cli.wait import WAIT, wait_s
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import (
    ConfigError,
    Conflict,
    ServerUnavailable,
    StigmerError,
    TimedOut,
    Unavailable,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from stigmer_cli.api.reconcile import ReconcileRequest
    from stigmer_cli.cli.reconcile_counts import ReconcileCounts
    from stigmer_cli.cli.reconcile_view import View
    from stigmer_cli.client import Client

AGAIN_S = 0.5
AGE_MAX_S = 1e9
IDS_MAX = 10_000
NOTHING_DONE = "nothing was done"
GOES_ON = "the server may have done a little more than it could tell; the next reconcile goes on from there"
MENDING = frozenset({"resubmit", "repair", "start-over", "retry"})


def reconcile(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these; also tries again.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    wait: Annotated[str | None, WAIT] = None,
    older_than: Annotated[
        float, typer.Option(metavar="S", min=0, max=AGE_MAX_S, help="Only older than S seconds.")
    ] = 0.0,
    phase: Annotated[list[Phase] | None, typer.Option(case_sensitive=False, help="Only these phases.")] = None,
    kind: Annotated[list[Kind] | None, typer.Option(case_sensitive=False, help="Only these kinds.")] = None,
    include_in_progress: Annotated[
        bool, typer.Option("--include-in-progress", help="Also start lost ones over; their effects may repeat.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Act on N executions at most.", metavar="N")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the result is printed.")] = Format.TABLE,
) -> None:
    """Submit orphaned executions again, take over outcomes, mark what was lost.

    An orphan is PENDING and Temporal has no workflow for it, so no run ever had an effect: submitting it again is safe.

    Exit code 0: nothing is left to do; 1: something is; 4: Temporal is away, and nothing was touched.
    """
    from stigmer_cli.api.reconcile import ReconcileRequest  # noqa: PLC0415 - pydantic is not imported for --help

    cli = cli_of(ctx)
    cli.show(output)
    waits_s = wait_s(wait)
    if not (dry_run or yes or cli.out.can_ask):
        raise ConfigError(
            "reconcile asks first, and there is no terminal to ask on",
            hint="stigmer executions reconcile --yes, or --dry-run to look only",
        )
    request = ReconcileRequest(
        ids=_checked(ids or []),
        phases=phase or [],
        kinds=kind or [],
        older_than_s=older_than,
        limit=limit,
        include_in_progress=include_in_progress,
        dry_run=dry_run,
        asked_by=f"stigmer executions reconcile (pid {os.getpid()})",
    )
    if request.include_in_progress:
        cli.out.warning("lost executions are started over: what their old runs did may be done again")
    if not (dry_run or yes):
        _agree(cli, request, waits_s)
    raise typer.Exit(_carry_out(cli, request, waits_s))


def _checked(ids: list[str]) -> list[str]:
    if len(ids) > IDS_MAX:
        raise ConfigError(f"{len(ids)} ids are more than {IDS_MAX}", hint="narrow it with --older-than and --limit")
    return list(dict.fromkeys(parse_execution_id(name) for name in ids))


def _agree(cli: Cli, request: "ReconcileRequest", waits_s: float | None) -> None:
    """Show what would be done and return once a person has agreed; raises typer.Exit where there is no more to do.

    The question stands outside the event loop, whose handler would swallow the first Ctrl-C.
    """
    from stigmer_cli.cli.reconcile_counts import ReconcileCounts  # noqa: PLC0415
    from stigmer_cli.cli.reconcile_view import print_plan  # noqa: PLC0415 - pydantic is not imported for --help

    counts = ReconcileCounts()
    preview = request.model_copy(update={"dry_run": True})
    try:
        cli.call(lambda client: _ask(cli, client, preview, counts, waits_s=waits_s))
        print_plan(cli.out.stderr, counts, is_done=False)
        if not counts.planned:
            raise typer.Exit(1 if counts.left_over else 0)
        agreed = _answer(cli, counts)
    except (KeyboardInterrupt, typer.Abort):
        cli.out.note(NOTHING_DONE)
        raise
    if not agreed:
        cli.out.note(NOTHING_DONE)
        raise typer.Exit(1)


def _answer(cli: Cli, counts: "ReconcileCounts") -> bool:
    moves = ", ".join(f"{number} {action}" for action, number in counts.actions.most_common() if action != "none")
    try:
        return typer.confirm(f"Carry this out ({moves})?", err=True)
    except typer.Abort:
        cli.out.stderr.print()  # the question's line is still open
        raise


def _carry_out(cli: Cli, request: "ReconcileRequest", waits_s: float | None) -> int:
    """Do it, or tell what would be done; the exit code. What was done is told, however it ends."""
    from stigmer_cli.cli.reconcile_counts import ReconcileCounts  # noqa: PLC0415
    from stigmer_cli.cli.reconcile_view import view_of  # noqa: PLC0415 - pydantic is not imported for --help

    counts, view = ReconcileCounts(), view_of(cli.out, is_dry_run=request.dry_run)
    try:
        is_left = cli.call(lambda client: _done(cli, client, request, counts, view, waits_s=waits_s))
    except (KeyboardInterrupt, StigmerError) as error:
        if counts.examined:
            view.end(counts, is_complete=False)
        if counts.examined or isinstance(error, KeyboardInterrupt):
            has_begun = not request.dry_run and (counts.examined or counts.is_under_way)
            cli.out.note(GOES_ON if has_begun else NOTHING_DONE)
        raise
    view.end(counts, is_complete=True)
    return 1 if is_left else 0


async def _done(
    cli: Cli,
    client: "Client",
    request: "ReconcileRequest",
    counts: "ReconcileCounts",
    view: "View",
    *,
    waits_s: float | None,
) -> bool:
    """Carry it out; whether something is left that this could have mended."""
    await _ask(cli, client, request, counts, view, waits_s=waits_s)
    return counts.left_over or (not request.dry_run and await _is_left(client, request, counts))


async def _is_left(client: "Client", request: "ReconcileRequest", counts: "ReconcileCounts") -> bool:
    """Whether a row that somebody else moved meanwhile could still be mended: most often that one has mended it."""
    from stigmer_cli.api.reconcile import ReconcileItem  # noqa: PLC0415 - pydantic

    if not counts.changed:
        return False
    again = request.model_copy(update={"ids": list(counts.changed), "dry_run": True, "limit": None})
    items = [found async for found in client.reconcile(again) if isinstance(found, ReconcileItem)]
    return any(item.action in MENDING or item.found == "unknown" for item in items)


async def _ask(
    cli: Cli,
    client: "Client",
    request: "ReconcileRequest",
    counts: "ReconcileCounts",
    view: "View | None" = None,
    *,
    waits_s: float | None,
) -> None:
    """Have the server do it; with `waits_s`, once Temporal is there and nobody else reconciles, and on where it broke.

    A server that is away for a moment is waited for in any case: what it did already it finds done. Raises TimedOut
    when nothing could be done for `waits_s` seconds.
    """
    patience = _Patience(cli, waits_s)
    while True:
        number = counts.number
        try:
            await _collect(cli, client, request, counts, view)
        except (Unavailable, Conflict) as error:
            await patience.wait_out(error, has_moved=counts.number > number)
            counts.begin_again()
        else:
            return


class _Patience:
    """How long what stands in the way of a reconcile is waited out: `waits_s` seconds; None: what passes by itself."""

    def __init__(self, cli: Cli, waits_s: float | None) -> None:
        self._cli, self._waits_s = cli, waits_s
        self._from_s = cli.clock.monotonic()
        self._told = ""
        self._was_cut_off = False

    async def wait_out(self, error: Unavailable | Conflict, *, has_moved: bool) -> None:
        """Return when it is time for the next try; the time begins anew where the last one got on (`has_moved`).

        Raises TimedOut, or `error` where nobody asked to wait, and NotRunning where the stack is plainly down.
        """
        for_s = self._for_s(error)
        if has_moved:
            self._from_s = self._cli.clock.monotonic()
        left_s = self._from_s + for_s - self._cli.clock.monotonic()
        if error.message != self._told and (for_s or self._waits_s is not None):
            self._cli.out.note(f"waiting: {error.message}")
            self._told = error.message
        if left_s <= 0 and self._waits_s is None:
            raise error
        if left_s <= 0:
            raise TimedOut(f"still waiting after {for_s:g} s: {error.message}", hint=error.hint) from error
        await asyncio.sleep(min(AGAIN_S, left_s))

    def _for_s(self, error: Unavailable | Conflict) -> float:
        """Where an earlier try was cut off, the server may still be ending it, and say that somebody reconciles."""
        if self._waits_s is not None:
            return self._waits_s
        if isinstance(error, ServerUnavailable) and (known := self._cli.explained(error)) is not error:
            raise known from error
        is_passing_now = is_passing(error) or (self._was_cut_off and isinstance(error, Conflict))
        self._was_cut_off = self._was_cut_off or is_passing(error)
        return RETRY_MIN_S if is_passing_now else 0.0


async def _collect(
    cli: Cli, client: "Client", request: "ReconcileRequest", counts: "ReconcileCounts", view: "View | None"
) -> None:
    from stigmer_cli.api.reconcile import ReconcileItem  # noqa: PLC0415 - pydantic

    counts.is_under_way = True
    with _progress(cli) as progress:
        bar = progress.add_task("looking" if request.dry_run else "reconciling", total=None)
        async for found in client.reconcile(request):
            counts.tell(found)
            if view and isinstance(found, ReconcileItem):
                view.item(found)
            progress.update(bar, completed=counts.examined, total=counts.total)


def _progress(cli: Cli) -> "Progress":
    """A bar on standard error, where somebody looks at it and no result is written beside it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - only with work

    is_shown = cli.out.stderr.is_terminal and (cli.out.format is Format.TABLE or not cli.out.stdout.is_terminal)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=cli.out.stderr, transient=True, disable=not is_shown)
