"""`stigmer events list`: the events that are kept, newest first."""

import json
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.cloud_events import EventItem
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.client import Client
from stigmer_cli.time_format import ago

PAGE = 200
SOURCE_MAX = 40
DATA_MAX = 60
DATA_MIN = 16

COLUMNS = (
    Column(name="ID", rank=0),
    Column(name="CAME IN", rank=1, is_right=True),
    Column(name="TYPE", rank=0),
    Column(name="SOURCE", rank=4),
    Column(name="SUBJECT", rank=5),
    Column(name="DATA", rank=3, width_min=DATA_MIN),
)


def list_events(cli: Cli, *, type_: str | None, limit: int) -> None:
    """Print up to `limit` events; says on standard error if there are more."""
    items, has_more = cli.call(lambda client: _fetch(client, type_, limit))
    wire = {"items": [item.to_wire() for item in items], "truncated": has_more}
    cli.out.result(wire, lambda console: _print(console, items, cli.now()))
    if has_more:
        cli.out.note(f"there are more than {len(items)}; to see more: --limit N")


async def _fetch(client: Client, type_: str | None, limit: int) -> tuple[Sequence[EventItem], bool]:
    items: list[EventItem] = []
    before = None
    while len(items) < limit:
        page = await client.events_kept(limit=min(PAGE, limit - len(items)), before=before, type_=type_)
        items.extend(page.items)
        before = page.next_before
        if before is None:
            break
    return items, before is not None


def _print(console: Console, items: Sequence[EventItem], now: datetime) -> None:
    if not items:
        console.print("no events are kept; stigmer events emit TYPE sends one")
        return
    rows = [
        (
            Text(str(item.event["id"])),
            Text(f"{ago(item.received_at, now)} ago"),
            Text(str(item.event["type"])),
            Text(truncate_line(str(item.event["source"]), SOURCE_MAX)),
            Text(truncate_line(str(item.event.get("subject") or ""), SOURCE_MAX)),
            Text(truncate_line(_describe_data(item), DATA_MAX)),
        )
        for item in items
    ]
    print_table(console, COLUMNS, rows)


def _describe_data(item: EventItem) -> str:
    data = item.event.get("data", item.event.get("data_base64"))
    return "" if data is None else json.dumps(data, ensure_ascii=False)
