"""`stigmer workflows list`: lists the workflows by name."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.workflows import WorkflowResource
from stigmer_cli.cli.agents.list import format_count, format_last_run
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Format, truncate_line
from stigmer_cli.cli.pages import fetch_items
from stigmer_cli.client import Client

PAGE = 100
CELL_MAX = 100

COLUMNS = (
    Column(name="NAME", rank=0),
    Column(name="NAMESPACE", rank=4),
    Column(name="VERSION", rank=5),
    Column(name="RUNS", rank=2, is_right=True),
    Column(name="LAST RUN", rank=1, is_right=True),
    Column(name="PHASE", rank=3),
    Column(name="ID", rank=6),
)


def list_workflows(cli: Cli, *, limit: int, is_yaml: bool) -> None:
    """Print up to `limit` workflows, with what they have run, or, with `is_yaml`, the documents of them."""
    is_brief = not is_yaml and cli.out.format is Format.TABLE
    items = cli.call(lambda client: fetch_workflows(client, limit, has_status=not is_yaml, is_brief=is_brief))
    if is_yaml:
        from stigmer_cli.cli.workflows.manifest import write_workflows  # noqa: PLC0415 - jq is heavy

        cli.out.raw(write_workflows(items))
        return
    cli.out.result({"items": [item.to_wire() for item in items]}, lambda console: _print(console, items, cli.now()))


async def fetch_workflows(
    client: Client, limit: int, *, has_status: bool, is_brief: bool
) -> Sequence[WorkflowResource]:
    """Up to `limit` workflows by name, which `is_brief` leaves without their documents."""
    items, _ = await fetch_items(
        lambda number, cursor: client.workflows(limit=number, cursor=cursor, has_status=has_status, is_brief=is_brief),
        limit=limit,
        page_max=PAGE,
    )
    return items


def _print(console: Console, items: Sequence[WorkflowResource], now: datetime) -> None:
    if not items:
        console.print("no workflows yet; stigmer apply -f FILE creates one")
        return
    rows = [
        (
            Text(item.metadata.name),
            Text(item.metadata.namespace),
            Text(truncate_line(item.metadata.version, CELL_MAX)),
            Text(format_count(item.status)),
            *format_last_run(item.status, now),
            Text(item.metadata.id),
        )
        for item in items
    ]
    print_table(console, COLUMNS, rows)
