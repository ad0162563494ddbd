"""`stigmer executions list`: lists executions, newest first, or those that are stuck, with class and cause."""

from stigmer_cli.api.query import Query
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.options import Selection
from stigmer_cli.cli.executions.tables import print_executions, print_stuck
from stigmer_cli.domain.stuck import RECONCILE, is_repairable


def list_executions(cli: Cli, selection: Selection, *, limit: int, is_stuck: bool) -> None:
    """Print up to `limit` executions of `selection`; `is_stuck`: only those that make no progress."""
    query = Query(
        phases=selection.phases, kinds=selection.kinds, agent=selection.agent, older_than_s=selection.older_than_s
    )
    if is_stuck:
        _list_stuck(cli, query, limit)
        return
    items = cli.call(lambda client: client.all_executions(query, limit=limit))
    cli.out.result(
        {"items": [item.to_wire() for item in items]},
        lambda console: print_executions(console, items, cli.now()),
    )


def _list_stuck(cli: Cli, query: Query, limit: int) -> None:
    items = cli.call(lambda client: client.stuck_executions(query, limit=limit))
    cli.out.result(
        {"items": [item.to_wire() for item in items]},
        lambda console: print_stuck(console, items, cli.now()),
    )
    if any(item.stuck is not None and is_repairable(item.stuck.kind) for item in items):
        cli.out.hint(RECONCILE)
