"""`stigmer executions cancel`: asks executions to end, named ones, or all that are selected, after a question."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.executions.cancel_view import CancelCounts, CancelView
from stigmer_cli.cli.executions.options import CancelOptions, Selection
from stigmer_cli.cli.executions.preview import Candidate, agree_on, check_can_ask, describe_number, find_candidates
from stigmer_cli.cli.executions.selection import check_one_way, describe_query, is_everything, make_query
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.client import Client
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, StigmerError

HELP = "stigmer executions cancel --help"
NOTHING_DONE = "nothing was cancelled"
BATCH = 200
"""Executions of one request."""


def cancel_executions(cli: Cli, selection: Selection, options: CancelOptions) -> int:
    """Cancel what is named, or show what is selected, ask, and cancel it; returns the exit code.

    Raises ConfigError if neither or both is given, or if it has to ask and cannot; NotFound for an unknown id.
    """
    is_selected = options.is_all or not is_everything(selection)
    check_one_way(selection, is_selected=is_selected, hint=HELP)
    if len(selection.ids) == 1 and not options.is_dry_run:
        _cancel_one(cli, selection.ids[0])
        return 0
    is_asked = is_selected and not (options.is_dry_run or options.is_agreed)
    if is_asked:
        check_can_ask(cli, "cancelling")
    found, asked = _find(cli, selection)
    if is_asked and found:
        agree_on(cli, found, f"Cancel {describe_number(found)}?", otherwise=NOTHING_DONE)
    return _carry_out(cli, found, asked, is_dry_run=options.is_dry_run)


def _cancel_one(cli: Cli, execution: str) -> None:
    name = resolve_target(cli, execution)
    found = call_with_retry(cli, lambda client: client.cancel_execution(name))
    words = describe_cancel(found.status.phase)
    cli.out.result(found.to_wire(), lambda console: console.print(f"{found.metadata.id} {words}", soft_wrap=True))


def describe_cancel(phase: Phase) -> str:
    """What asking an execution to end came to, if it is in `phase` afterwards."""
    if not phase.is_terminal:
        return "asked to end"
    return phase if phase is Phase.CANCELLED else f"had ended before: {phase}"


def _find(cli: Cli, selection: Selection) -> tuple[list[Candidate], str]:
    """The executions that are named or selected, oldest last, and the options that selected them."""
    if selection.ids:
        names = dict.fromkeys(resolve_target(cli, name) for name in selection.ids)
        return cli.call(lambda client: _read_named(client, list(names))), ""
    query = make_query(cli, selection)
    found = cli.call(lambda client: find_candidates(client, query))
    return found, describe_query(query)


async def _read_named(client: Client, names: list[str]) -> list[Candidate]:
    return [Candidate.of(await client.execution(name)) for name in names]


def _carry_out(cli: Cli, found: list[Candidate], asked: str, *, is_dry_run: bool) -> int:
    """Cancel `found` batch by batch, and print what came of it, however it ends."""
    counts, view = CancelCounts(asked=asked), CancelView(cli.out, found, is_dry_run=is_dry_run, now=cli.now())
    if is_dry_run:
        for one in found:
            view.plan(one, counts)
        view.end(counts, is_complete=True)
        return 0
    cli.out.outlives_reader = True
    try:
        for first in range(0, len(found), BATCH):
            names = [one.id for one in found[first : first + BATCH]]
            for item in call_with_retry(cli, lambda client, names=names: client.cancel_executions(names)):  # type: ignore[misc]
                view.item(item, counts)
    except (KeyboardInterrupt, StigmerError):
        if counts.total:
            view.end(counts, is_complete=False)
        raise
    view.end(counts, is_complete=True)
    return NotFound.exit_code if counts.is_missing_any else 0
