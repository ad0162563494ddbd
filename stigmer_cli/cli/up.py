"""`stigmer up`: the local stack, started and proven ready."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format, Output, clean
from stigmer_cli.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from stigmer_cli.stack.parts import StackOptions
    from stigmer_cli.stack.up import Ready

INTERRUPTED = 130
READY = "ready"
EPHEMERAL = (
    "--ephemeral: executions that Temporal holds are forgotten when it stops; the server submits them again, "
    "and asks you about those that had begun"
)

UI_OFF = "Temporal's web UI is off: there is only 127.0.0.1 here, where any web page could reach it; stigmer up --ui"
IN_REACH = "any web page can reach Temporal's web UI here, and start and end workflows; without it: stigmer up --no-ui"
UiPort = Annotated[
    str | None, typer.Option(help="Port of Temporal's own web UI, which the server shows under /ui; else drawn.")
]
UiSwitch = Annotated[
    bool | None,
    typer.Option("--ui/--no-ui", help="With Temporal's web UI, also where web pages could reach it; without it."),
]


AdoptTemporal = Annotated[
    bool, typer.Option("--adopt-temporal", help="Move the store here from another Temporal; its servers end.")
]


def up(
    ctx: typer.Context,
    *,
    attach: Annotated[bool, typer.Option("--attach", help="Stay, show the logs; Ctrl-C stops the stack.")] = False,
    wait_timeout: Annotated[float, typer.Option(min=0.1, metavar="S", help="Seconds until it must be ready.")] = 60.0,
    port: Annotated[str | None, typer.Option(help="Port of the server.")] = None,
    temporal_port: Annotated[str | None, typer.Option(help="Port of Temporal.")] = None,
    ui_port: UiPort = None,
    temporal_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Use a Temporal that somebody else runs.")
    ] = None,
    auto_ports: Annotated[bool, typer.Option("--auto-ports", help="Take other ports where these are taken.")] = False,
    adopt_temporal: AdoptTemporal = False,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep Temporal in memory.")] = False,
    ui: UiSwitch = None,
    new_database: Annotated[
        bool, typer.Option("--new-database", help="Use another database than before, on purpose.")
    ] = False,
    new_settings: Annotated[
        bool, typer.Option("--new-settings", help="Forget the ports and addresses of before.")
    ] = False,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Start the local stack, or bring back what is missing of it, and return once it is proven ready."""
    from stigmer_cli.stack.parts import StackOptions  # noqa: PLC0415 - not for --help

    cli = cli_of(ctx)
    out = cli.show(output)
    settings = cli.own_settings(
        server_port=port, temporal_port=temporal_port, ui_port=ui_port, temporal_address=temporal_address
    )
    options = StackOptions(
        adopts_temporal=adopt_temporal,
        ephemeral=ephemeral,
        headless=ui is False,
        wants_ui=ui is True,
        auto_ports=auto_ports,
        wait_timeout_s=wait_timeout,
        new_database=new_database,
        new_settings=new_settings,
    )
    if ephemeral:
        out.note(EPHEMERAL)
    ready = _brought_up(cli, settings, options)
    tell_pending(out, ready)
    if not attach:
        print_ready(out, ready)
        return
    raise typer.Exit(_stayed(cli, settings, ready))


def _stayed(cli: Cli, settings: Settings, ready: "Ready") -> int:
    try:
        print_ready(cli.out, ready)
        return _attached(cli, settings, ready)
    except KeyboardInterrupt:  # before anybody listened to it
        from stigmer_cli.stack.down import down  # noqa: PLC0415 - only here

        cli.run(down(settings.home, clock=cli.clock))
        raise


def _brought_up(cli: Cli, settings: Settings, options: "StackOptions") -> "Ready":
    from stigmer_cli.stack.up import Surroundings  # noqa: PLC0415 - not for --help
    from stigmer_cli.stack.up import up as bring_up  # noqa: PLC0415

    around = Surroundings(clock=cli.clock, environ=cli.environ, tell=cli.out.note)
    with shown_progress(cli.out) as board:
        return cli.run(bring_up(settings, options, progress=board, around=around))


def _attached(cli: Cli, settings: Settings, ready: "Ready") -> int:
    from stigmer_cli.cli.logs import Printer  # noqa: PLC0415 - only here
    from stigmer_cli.stack.attach import attend  # noqa: PLC0415

    printer = Printer(cli.out, is_json=cli.out.format is not Format.TABLE)
    ended = cli.run(
        attend(
            settings.home,
            ready.record.id,
            on_ready=lambda: cli.out.note("Ctrl-C stops the stack"),
            on_line=printer.show,
            clock=cli.clock,
        )
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever presses on has nothing left to stop
    if ended is None:
        cli.out.note("the stack was stopped by another command")
        return 0
    for part in ended.parts:
        cli.out.note(f"{part.name} (pid {part.pid}): {part.how}")
    return INTERRUPTED


class Board:
    """Tells the progress of each part: a live table on a terminal, one line a change elsewhere."""

    def __init__(self, out: Output, live: "Live | None") -> None:
        self._out, self._live = out, live
        self._states: dict[str, str] = {}

    def part(self, name: str, state: str) -> None:
        """`name` is ready, or waits for what `state` says."""
        self._states[name] = clean(state)
        if self._live is None:
            self._out.note(f"{name}: {state}")
        else:
            self._live.update(self._table())

    def _table(self) -> Table:
        from rich.spinner import Spinner  # noqa: PLC0415 - only on a terminal

        table = Table.grid(padding=(0, 1))
        for name, state in self._states.items():
            is_ready = state == READY
            mark = Text("ok", style="green") if is_ready else Spinner("line")
            table.add_row(mark, Text(name), Text(state, style="" if is_ready else "dim", overflow="ellipsis"))
        return table


@contextmanager
def shown_progress(out: Output) -> Iterator[Board]:
    """A board; what went wrong with a part is told below it, with the last lines of its log."""
    from stigmer_cli.stack.failure import StartFailed  # noqa: PLC0415 - not for --help

    try:
        if out.stderr.is_terminal and sys.stderr.isatty():
            from rich.live import Live  # noqa: PLC0415 - only on a terminal

            with Live(console=out.stderr, refresh_per_second=8, transient=False) as live:
                yield Board(out, live)
        else:
            yield Board(out, None)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is stopped; whoever presses on would only spoil the exit
        raise
    except StartFailed as error:
        out.note(f"the last lines of {error.log}:" if error.lines else f"{error.log} is empty")
        for line in error.lines:
            out.note(f"  {line}")
        raise


def print_ready(out: Output, ready: "Ready") -> None:
    """Where things are and what to type next."""
    found = ready.endpoints
    if found.owns_temporal and found.ui_source is None:
        out.warning(IN_REACH if found.ui_port else UI_OFF)
    data: dict[str, object] = {
        "state": READY,
        "started": list(ready.started),
        "serverUrl": found.server_url,
        "temporalAddress": found.temporal_address,
        "temporalUiUrl": found.ui_url,
        "namespace": found.namespace,
        "ephemeral": found.ephemeral,
        "home": str(ready.home),
        "logs": str(ready.logs),
        "tookS": round(ready.took_s, 3),
        "changes": [change.to_json() for change in ready.changes],
        "pending": [change.to_json() for change in ready.pending],
    }
    out.result(data, lambda console: _print_places(console, ready))


def tell_pending(out: Output, ready: "Ready") -> None:
    """What this shell says differently from what runs on, and how the stack takes that over."""
    from stigmer_cli.stack.differences import taken_over_by  # noqa: PLC0415 - not for --help

    if ready.pending:
        out.note("the stack runs on with what it was started with; this shell says otherwise:")
        for change in ready.pending:
            out.note(f"  {change}")
        out.hint(f"{taken_over_by(ready.pending)} takes that over")


def _print_places(console: "Console", ready: "Ready") -> None:
    found = ready.endpoints
    verdict = f"ready in {ready.took_s:.1f} s" if ready.started else "already running; nothing was touched"
    console.print(Text(f"Stigmer is {verdict}", style="bold"))
    rows = [
        ("server", found.server_url),
        ("temporal", found.temporal_address),
        ("web UI", found.ui_url or "off"),
        ("home", str(ready.home)),
        ("logs", str(ready.logs)),
    ]
    for name, place in rows:
        console.print(Text(f"  {name:<9} {clean(place)}"), soft_wrap=True)
    console.print("next: stigmer apply -f FILE, then stigmer run AGENT MESSAGE; stigmer down stops it", soft_wrap=True)
