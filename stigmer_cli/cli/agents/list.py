"""`stigmer agents list`: lists the agents by name."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.listed import ListedAgent, ListedAgentStatus, read_agent
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_reason import PHASE_STYLES
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.cli.pages import fetch_items
from stigmer_cli.cli.short_read import read_page
from stigmer_cli.time_format import ago

if TYPE_CHECKING:
    from stigmer_cli.api.resources import AgentResource, AgentStatus
    from stigmer_cli.client import Client

PAGE = 200
CELL_MAX = 1000

COLUMNS = (
    Column(name="NAME", rank=0),
    Column(name="RUNS", rank=2, is_right=True),
    Column(name="LAST RUN", rank=1, is_right=True),
    Column(name="PHASE", rank=3),
    Column(name="MODEL", rank=4, width_min=8),
    Column(name="DESCRIPTION", rank=6, width_min=16),
    Column(name="ID", rank=5),
)


def list_agents(cli: Cli, *, limit: int, is_yaml: bool) -> None:
    """Print up to `limit` agents, with what they have run, or, with `is_yaml`, the manifests of them."""
    if not is_yaml and (page := read_page(cli, "/v1/agents", {"status": "true"}, read_agent, limit=limit)):
        cli.out.result({}, lambda console: _print(console, page.items, cli.now()))
        return
    items = cli.call(lambda client: _fetch_agents(client, limit, has_status=not is_yaml))
    if is_yaml:
        from stigmer_cli.cli.agents.manifest_yaml import write_manifests  # noqa: PLC0415 - imports yaml

        cli.out.raw(write_manifests(items))
        return
    cli.out.result({"items": [item.to_wire() for item in items]}, lambda console: _print(console, items, cli.now()))


async def _fetch_agents(client: "Client", limit: int, *, has_status: bool) -> "Sequence[AgentResource]":
    items, _ = await fetch_items(
        lambda number, cursor: client.agents(limit=number, cursor=cursor, has_status=has_status),
        limit=limit,
        page_max=PAGE,
    )
    return items


def _print(console: Console, items: "Sequence[AgentResource | ListedAgent]", now: datetime) -> None:
    if not items:
        console.print("no agents yet; stigmer apply -f FILE creates one")
        return
    rows = [
        (
            Text(item.metadata.slug),
            Text(format_count(item.status)),
            *format_last_run(item.status, now),
            Text(truncate_line(item.spec.model, CELL_MAX)),
            Text(truncate_line(item.spec.description, CELL_MAX)),
            Text(item.metadata.id),
        )
        for item in items
    ]
    print_table(console, COLUMNS, rows)


def format_count(status: "AgentStatus | ListedAgentStatus | None") -> str:
    """How many executions there are."""
    if status is None:
        return ""
    return f"{status.executions:,}"


def format_last_run(status: "AgentStatus | ListedAgentStatus | None", now: datetime) -> tuple[Text, Text]:
    """How long ago it was accepted, and its phase."""
    last = status.last_run if status else None
    if last is None:
        return Text("never" if status else ""), Text("")
    return Text(f"{ago(last.at, now)} ago"), Text(last.phase, style=PHASE_STYLES[last.phase])
