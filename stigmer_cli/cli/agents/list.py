"""`stigmer agents list`: lists the agents by name."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from stigmer_cli.api.resources import AgentResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import escape_markup
from stigmer_cli.client import Client

PAGE = 200


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("NAME", "MODEL", "DESCRIPTION", "ID"):
        table.add_column(name, no_wrap=name in ("NAME", "ID"), overflow="ellipsis")
    for item in items:
        table.add_row(
            escape_markup(item.metadata.slug),
            escape_markup(item.spec.model),
            escape_markup(item.spec.description),
            item.metadata.id,
        )
    console.print(table)
