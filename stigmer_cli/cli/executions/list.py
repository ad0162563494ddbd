"""`stigmer executions list`: lists executions, newest first, or those that are stuck, with class and cause."""

from dataclasses import replace

from stigmer_cli.api.listed import read_execution
from stigmer_cli.api.query import COUNT_MAX, Query
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.list_tables import print_executions, print_stuck
from stigmer_cli.cli.executions.options import Paging, Selection
from stigmer_cli.cli.executions.selection import describe_query, make_query
from stigmer_cli.cli.short_read import read_page
from stigmer_cli.domain.stuck import RECONCILE, is_repairable

JUDGED_MAX = 200
"""Up to so many are judged one by one, in a tenth of a second; of a longer list `--stuck` tells which are stuck."""


def list_executions(cli: Cli, selection: Selection, page: Paging, *, is_stuck: bool) -> None:
    """Print the executions of `selection`; `is_stuck`: only those that make no progress.

    Says on standard error if there are more. Raises NotFound for an agent that does not exist, and ConfigError for
    a time that is none.
    """
    query = replace(
        make_query(cli, selection),
        is_stuck=is_stuck,
        is_judged=page.limit is not None and page.limit <= JUDGED_MAX,
        is_counted=page.limit is not None and not is_stuck,
        cursor=page.cursor,
    )
    if not is_stuck and _print_short_read(cli, query, page.limit):
        return
    found = cli.call(lambda client: client.list_executions(query, limit=page.limit))
    print_items = print_stuck if is_stuck else print_executions
    cli.out.result(
        {
            "items": [item.to_wire() for item in found.items],
            "nextCursor": found.next_cursor,
            "truncated": found.is_truncated,
        },
        lambda console: print_items(console, found.items, cli.now(), asked=describe_query(query)),
    )
    if found.is_truncated:
        _tell_truncated(cli, len(found.items), found.total)
    if is_stuck and any(item.stuck is not None and is_repairable(item.stuck.kind) for item in found.items):
        cli.out.hint(RECONCILE)


def _print_short_read(cli: Cli, query: Query, limit: int | None) -> bool:
    """Print the table of what one short request brings; False if the list takes more than that."""
    found = read_page(cli, "/v1/executions", query.parameters(), read_execution, limit=limit)
    if found is None:
        return False
    cli.out.result({}, lambda console: print_executions(console, found.items, cli.now(), asked=describe_query(query)))
    if found.is_truncated:
        _tell_truncated(cli, len(found.items), found.total)
    return True


def _tell_truncated(cli: Cli, shown: int, total: int | None) -> None:
    cli.out.note(f"{shown} of {_format_total(total)}; to see more: --limit N, or --all")


def _format_total(total: int | None) -> str:
    if total is None:
        return "more"
    return f"more than {COUNT_MAX:,}" if total > COUNT_MAX else f"{total:,}"
