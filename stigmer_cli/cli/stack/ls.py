"""`stigmer ls`: lists every stack of this user on this machine."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.stack.status import STYLES
from stigmer_cli.errors import ConfigError
from stigmer_cli.stack.known_homes import KnownHomes
from stigmer_cli.stack.machine_stacks import StackSight, find_stacks
from stigmer_cli.stack.running_homes import find_running_homes

CURRENT = "*"
COLUMNS = (
    Column(name=" ", rank=0),
    Column(name="STATE", rank=0),
    Column(name="SERVER", rank=2, is_right=True),
    Column(name="TEMPORAL", rank=3, is_right=True),
    Column(name="OPEN", rank=1, is_right=True),
    Column(name="VERSION", rank=4),
    Column(name="HOME", rank=0),
)


def list_stacks(cli: Cli) -> None:
    """Print the stacks with their ports, open executions and homes; the one that commands use here is marked."""
    current, found = _find_current_home(cli), look_at_machine(cli)
    items = [{**one.to_json(), "isCurrent": one.home == current} for one in found]
    cli.out.result({"items": items}, lambda console: _print(console, found, current))


def look_at_machine(cli: Cli) -> Sequence[StackSight]:
    """Every stack of this user: the known ones, those whose supervisor runs, and the one that commands use here."""
    current = _find_current_home(cli)
    here = [current] if current is not None and current.is_dir() else []
    known = KnownHomes(cli.environ, user_home=cli.user_home)
    return cli.run(find_stacks(known, [*here, *sorted(find_running_homes())], clock=cli.clock))


def _find_current_home(cli: Cli) -> Path | None:
    """The home that commands use here; None where there is none, as for a user without a home directory."""
    try:
        return cli.home.path
    except ConfigError:
        return None


def _print(console: Console, found: Sequence[StackSight], current: Path | None) -> None:
    if not found:
        console.print("no stacks yet; stigmer up starts one, stigmer init makes one for a project")
        return
    rows = [
        (
            Text(CURRENT if one.home == current else ""),
            Text(one.state, style=STYLES.get(one.state, "dim")),
            *(Text("-" if value is None else str(value)) for value in _list_values(one)),
            Text(strip_control_sequences(str(one.home))),
        )
        for one in found
    ]
    print_table(console, COLUMNS, rows)
    for one in found:
        if one.detail:
            console.print(Text(f"{one.state}: {strip_control_sequences(one.detail)}", style="yellow"), soft_wrap=True)


def _list_values(one: StackSight) -> Sequence[object]:
    return (one.server_port, one.temporal_port, one.open_executions, one.version)
