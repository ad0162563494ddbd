"""`stigmer executions reconcile`: bring orphaned executions back, with a preview and one question."""

import os
from collections.abc import Sequence

import typer

from stigmer_cli.api.findings import Action, Finding
from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.executions.options import ReconcileOptions, Selection
from stigmer_cli.cli.executions.reconcile_call import ReconcileCall
from stigmer_cli.cli.executions.reconcile_counts import ReconcileCounts
from stigmer_cli.cli.executions.reconcile_view import View, make_view, print_plan
from stigmer_cli.cli.executions.reconcile_wait import WaitPolicy
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.client import Client
from stigmer_cli.domain.stuck import RECONCILE
from stigmer_cli.errors import ConfigError, StigmerError

IDS_MAX = 10_000
NOTHING_DONE = "nothing was done"
GOES_ON = "the server may have done slightly more than it reported; the next reconcile continues from there"
REPAIRING = frozenset({Action.RESUBMIT, Action.REPAIR, Action.START_OVER, Action.RESUME, Action.RETRY})


def reconcile_executions(cli: Cli, selection: Selection, options: ReconcileOptions) -> int:
    """Show what would be done, ask, do it, and print what was done; returns the exit code."""
    is_asked = not (options.is_dry_run or options.is_agreed)
    if is_asked:
        require_person(cli, "reconciling", hint=f"{RECONCILE} --yes, or --dry-run to look only")
    request = ReconcileRequest(
        ids=_resolve_ids(cli, selection.ids),
        phases=list(selection.phases),
        kinds=list(selection.kinds),
        older_than_s=selection.older_than_s or 0.0,
        limit=options.limit,
        include_in_progress=options.include_in_progress,
        dry_run=options.is_dry_run,
        asked_by=f"{RECONCILE} (pid {os.getpid()})",
    )
    if request.include_in_progress:
        cli.out.warning("lost executions go on: a step that may have had its effect is repeated")
    policy = WaitPolicy(asked_s=options.waits_s)
    if is_asked:
        _ask_to_agree(cli, request, policy)
    return _carry_out(cli, request, policy)


def _resolve_ids(cli: Cli, ids: Sequence[str]) -> list[str]:
    if len(ids) > IDS_MAX:
        raise ConfigError(f"{len(ids)} ids are more than {IDS_MAX}", hint="narrow it with --older-than and --limit")
    return list(dict.fromkeys(resolve_target(cli, name) for name in ids))


def _ask_to_agree(cli: Cli, request: ReconcileRequest, policy: WaitPolicy) -> None:
    """Show what would be done and return once a person has agreed; raises typer.Exit where there is no more to do."""
    counts = ReconcileCounts()
    preview = request.model_copy(update={"dry_run": True})
    try:
        cli.call(lambda client: ReconcileCall(cli, client, policy).ask(preview, counts))
        print_plan(cli.out.stderr, counts, is_done=False)
        if not counts.planned:
            raise typer.Exit(1 if counts.left_over else 0)
    except KeyboardInterrupt:
        cli.out.note(NOTHING_DONE)
        raise
    moves = ", ".join(f"{number} {action}" for action, number in counts.actions.most_common() if action != Action.NONE)
    ask_to_agree(cli, f"Carry this out ({moves})?", otherwise=NOTHING_DONE)


def _carry_out(cli: Cli, request: ReconcileRequest, policy: WaitPolicy) -> int:
    """Do it, or show what would be done; returns the exit code. Prints what was done, however it ends."""
    counts, view = ReconcileCounts(), make_view(cli.out, is_dry_run=request.dry_run)
    cli.out.outlives_reader = not request.dry_run
    try:
        is_left = cli.call(lambda client: _reconcile(ReconcileCall(cli, client, policy), client, request, counts, view))
    except (KeyboardInterrupt, StigmerError) as error:
        if counts.examined:
            view.end(counts, is_complete=False)
        if counts.examined or isinstance(error, KeyboardInterrupt):
            has_begun = not request.dry_run and (counts.examined or counts.is_under_way)
            cli.out.note(GOES_ON if has_begun else NOTHING_DONE)
        raise
    view.end(counts, is_complete=True)
    return 1 if is_left else 0


async def _reconcile(
    call: ReconcileCall, client: Client, request: ReconcileRequest, counts: ReconcileCounts, view: View
) -> bool:
    """Carry it out; returns whether something is left that a reconcile could repair."""
    await call.ask(request, counts, view)
    return counts.left_over or (not request.dry_run and await _is_left(client, request, counts))


async def _is_left(client: Client, request: ReconcileRequest, counts: ReconcileCounts) -> bool:
    """Whether a row that another process moved meanwhile still needs repair; usually that process has repaired it."""
    if not counts.changed:
        return False
    again = request.model_copy(update={"ids": list(counts.changed), "dry_run": True, "limit": None})
    items = [found async for found in client.reconcile(again) if isinstance(found, ReconcileItem)]
    return any(item.action in REPAIRING or item.found == Finding.UNKNOWN for item in items)
