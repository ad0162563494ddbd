"""`stigmer agents list`: lists the agents by name."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.resources import AgentResource
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.client import Client

PAGE = 200
CELL_MAX = 1000

COLUMNS = (
    Column(name="NAME", rank=0),
    Column(name="MODEL", rank=2, width_min=8),
    Column(name="DESCRIPTION", rank=3, width_min=16),
    Column(name="ID", rank=1),
)


def list_agents(cli: Cli, *, limit: int) -> None:
    """Print up to `limit` agents."""
    items = cli.call(lambda client: _fetch_agents(client, limit))
    cli.out.result({"items": [item.to_wire() for item in items]}, lambda console: _print(console, items))


async def _fetch_agents(client: Client, limit: int) -> Sequence[AgentResource]:
    items: list[AgentResource] = []
    cursor = None
    while len(items) < limit:
        page = await client.agents(limit=min(PAGE, limit - len(items)), cursor=cursor)
        items.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return items


def _print(console: Console, items: Sequence[AgentResource]) -> None:
    if not items:
        console.print("no agents yet; stigmer apply -f FILE creates one")
        return
    rows = [
        (
            Text(item.metadata.slug),
            Text(truncate_line(item.spec.model, CELL_MAX)),
            Text(truncate_line(item.spec.description, CELL_MAX)),
            Text(item.metadata.id),
        )
        for item in items
    ]
    print_table(console, COLUMNS, rows)
