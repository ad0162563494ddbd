"""`stigmer secrets list`: the names of the secrets, and who refers to them."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.secrets import SecretItem
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.time_format import ago

CELL_MAX = 200

COLUMNS = (
    Column(name="NAME", rank=0),
    Column(name="CREATED", rank=3, is_right=True),
    Column(name="CHANGED", rank=1, is_right=True),
    Column(name="USED BY", rank=2, width_min=8),
)


def list_secrets(cli: Cli) -> None:
    """Print all secrets without their values, and warn if the server cannot read them."""
    found = cli.call(lambda client: client.secrets())
    cli.out.result(found.to_wire(), lambda console: _print(console, found.items, cli.now()))
    if found.problem:
        cli.out.warning(found.problem)


def _print(console: Console, items: Sequence[SecretItem], now: datetime) -> None:
    if not items:
        console.print("no secrets yet; stigmer secrets set NAME keeps one")
        return
    rows = [
        (
            Text(item.name),
            Text(f"{ago(item.created_at, now)} ago"),
            Text(f"{ago(item.updated_at, now)} ago"),
            Text(truncate_line(", ".join(item.used_by), CELL_MAX)),
        )
        for item in items
    ]
    print_table(console, COLUMNS, rows)
