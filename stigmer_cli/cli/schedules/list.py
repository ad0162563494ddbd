"""`stigmer schedules list`: what has workflows run by themselves."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.schedules import ScheduleItem
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.time_format import ago, span

TEXT_MAX = 60

COLUMNS = (
    Column(name="WORKFLOW", rank=0),
    Column(name="SCHEDULE", rank=1, width_min=24),
    Column(name="NEXT", rank=2, is_right=True),
    Column(name="LAST", rank=4, is_right=True),
    Column(name="MISSED", rank=5, is_right=True),
    Column(name="LAST EXECUTION", rank=3),
)


def list_schedules(cli: Cli) -> None:
    """Print all schedules."""
    found = cli.call(lambda client: client.schedules())
    cli.out.result(found.to_wire(), lambda console: print_schedules(console, found.items, cli.now()))


def print_schedules(console: Console, items: Sequence[ScheduleItem], now: datetime) -> None:
    """Print `items` as a table."""
    if not items:
        console.print("no workflow has a schedule; see stigmer help events")
        return
    rows = [
        (
            Text(item.workflow),
            Text(truncate_line(item.text, TEXT_MAX)),
            Text(_describe_next(item, now)),
            Text(f"{ago(item.last_at, now)} ago" if item.last_at else ""),
            Text(f"{item.missed:,}" if item.missed else ""),
            Text(item.last_execution or ""),
        )
        for item in items
    ]
    print_table(console, COLUMNS, rows)
    for item in items:
        if item.problem:
            console.print(Text(f"{item.workflow}: {item.trigger} does not run: {item.problem}"))


def _describe_next(item: ScheduleItem, now: datetime) -> str:
    if item.is_paused:
        return "paused"
    if item.problem:
        return "never"
    if item.next_at is None:
        return "when it has ended" if item.trigger == "after" else ""
    left_s = (item.next_at - now).total_seconds()
    return f"in {span(left_s)}" if left_s > 0 else "now"
