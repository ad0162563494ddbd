"""`stigmer sessions list`: lists conversations, the one that was used last first."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.sessions import SessionBody
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_reason import PHASE_STYLES
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.cli.pages import fetch_items
from stigmer_cli.client import Client
from stigmer_cli.time_format import ago

PAGE = 200
AGENT_MAX = 20
MESSAGE_MAX = 60
MESSAGE_MIN = 16

COLUMNS = (
    Column(name="SESSION", rank=0),
    Column(name="AGENT", rank=2),
    Column(name="MESSAGES", rank=4, is_right=True),
    Column(name="USED", rank=1, is_right=True),
    Column(name="PHASE", rank=3),
    Column(name="LAST MESSAGE", rank=5, width_min=MESSAGE_MIN),
)


def list_sessions(cli: Cli, *, limit: int) -> None:
    """Print up to `limit` sessions; says on standard error if there are more."""
    items, has_more = cli.call(lambda client: _fetch(client, limit))
    wire = {"items": [item.to_wire() for item in items], "truncated": has_more}
    cli.out.result(wire, lambda console: _print(console, items, cli.now()))
    if has_more:
        cli.out.note(f"there are more than {len(items)}; to see more: --limit N")


async def _fetch(client: Client, limit: int) -> tuple[Sequence[SessionBody], bool]:
    return await fetch_items(
        lambda number, cursor: client.sessions(limit=number, cursor=cursor), limit=limit, page_max=PAGE
    )


def _print(console: Console, items: Sequence[SessionBody], now: datetime) -> None:
    if not items:
        console.print("no sessions yet; stigmer chat AGENT begins one")
        return
    rows = [
        (
            Text(item.name),
            Text(truncate_line(item.agent_name, AGENT_MAX)),
            Text(f"{item.executions:,}"),
            Text(f"{ago(item.updated_at, now)} ago"),
            Text(item.last.phase, style=PHASE_STYLES[item.last.phase]),
            Text(truncate_line(item.last.message, MESSAGE_MAX)),
        )
        for item in items
    ]
    print_table(console, COLUMNS, rows)
