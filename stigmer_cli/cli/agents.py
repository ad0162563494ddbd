"""`stigmer agents`: list, get, delete."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format, safe
from stigmer_cli.cli.retry import insist
from stigmer_cli.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stigmer_cli.api.resources import AgentResource
    from stigmer_cli.client import Client

PAGE = 200

OUTPUT = typer.Option("--output", "-o", help="How the result is printed.")
NAMED = typer.Argument(help="The agent's name or id.")
LIMIT = typer.Option("--limit", min=1, help="How many at the most.")
YES = typer.Option("--yes", "-y", help="Do not ask.")

agents = typer.Typer(help="List, show and delete agents.")


@agents.command("list")
def list_agents(
    ctx: typer.Context, limit: Annotated[int, LIMIT] = 1000, output: Annotated[Format, OUTPUT] = Format.TABLE
) -> None:
    """List agents by name."""
    cli = cli_of(ctx)
    out = cli.show(output)
    items = cli.call(lambda client: _all(client, limit))
    out.result({"items": [item.to_wire() for item in items]}, lambda console: _print_table(console, items))


@agents.command("get")
def get(ctx: typer.Context, agent: Annotated[str, NAMED], output: Annotated[Format, OUTPUT] = Format.TABLE) -> None:
    """Show one agent."""
    cli = cli_of(ctx)
    out = cli.show(output)
    found = cli.call(lambda client: client.agent(agent))
    out.result(found.to_wire(), lambda console: _print_one(console, found))


@agents.command("delete")
def delete(
    ctx: typer.Context,
    agent: Annotated[str, NAMED],
    yes: Annotated[bool, YES] = False,
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """Delete an agent; its executions stay."""
    cli = cli_of(ctx)
    out = cli.show(output)
    if not yes:
        if not out.can_ask:
            raise ConfigError("deleting asks first, and there is no terminal to ask on", hint="add --yes")
        typer.confirm(f"Delete agent {agent}?", abort=True, err=True)
    found = cli.call(lambda client: client.agent(agent))
    gone = insist(cli, lambda client: _deleted(client, found))
    out.result(gone.to_wire(), lambda console: console.print(f"agent/{safe(gone.metadata.slug)} deleted"))


async def _deleted(client: "Client", found: "AgentResource") -> "AgentResource":
    """What was deleted; one that is gone by now was deleted by an earlier try, whose answer was lost, or by another."""
    try:
        return await client.delete_agent(found.metadata.id)
    except NotFound:
        return found


async def _all(client: "Client", limit: int) -> "Sequence[AgentResource]":
    items: list[AgentResource] = []
    cursor = None
    while len(items) < limit:
        page = await client.agents(limit=min(PAGE, limit - len(items)), cursor=cursor)
        items.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return items


def _print_table(console: Console, items: "Sequence[AgentResource]") -> None:
    if not items:
        console.print("no agents yet; stigmer apply -f FILE makes one")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("NAME", "MODEL", "DESCRIPTION", "ID"):
        table.add_column(name, no_wrap=name in ("NAME", "ID"), overflow="ellipsis")
    for item in items:
        table.add_row(safe(item.metadata.slug), safe(item.spec.model), safe(item.spec.description), item.metadata.id)
    console.print(table)


def _print_one(console: Console, item: "AgentResource") -> None:
    rows = {
        "name": item.metadata.name,
        "id": item.metadata.id,
        "slug": item.metadata.slug,
        "model": item.spec.model,
        "description": item.spec.description,
        "instructions": item.spec.instructions,
    }
    for name, value in rows.items():
        if value:
            console.print(f"[bold]{name + ':':<14}[/]{safe(value)}", soft_wrap=True)
