"""What the commands about the stack take; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, WaitTimeout, Yes
from stigmer_cli.stack.options import StackOptions

UiPort = Annotated[
    str | None, typer.Option(help="Port of Temporal's own web UI, which the server shows under /ui; else drawn.")
]
UiSwitch = Annotated[
    bool | None,
    typer.Option("--ui/--no-ui", help="With Temporal's web UI, also where web pages could reach it; without it."),
]
TemporalAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Use a Temporal that somebody else runs.")
]
AdoptTemporal = Annotated[
    bool, typer.Option("--adopt-temporal", help="Move the store here from another Temporal; its servers end.")
]
AutoPorts = Annotated[bool, typer.Option("--auto-ports", help="Take other ports where these are taken.")]
NewDatabase = Annotated[bool, typer.Option("--new-database", help="Use another database than before, on purpose.")]
NewSettings = Annotated[bool, typer.Option("--new-settings", help="Forget the ports and addresses of before.")]


def up(
    ctx: typer.Context,
    *,
    attach: Annotated[bool, typer.Option("--attach", help="Stay, show the logs; Ctrl-C stops the stack.")] = False,
    wait_timeout: WaitTimeout = 60.0,
    port: Annotated[str | None, typer.Option(help="Port of the server.")] = None,
    temporal_port: Annotated[str | None, typer.Option(help="Port of Temporal.")] = None,
    ui_port: UiPort = None,
    temporal_address: TemporalAddress = None,
    auto_ports: AutoPorts = False,
    adopt_temporal: AdoptTemporal = False,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep Temporal in memory.")] = False,
    ui: UiSwitch = None,
    new_database: NewDatabase = False,
    new_settings: NewSettings = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Start the local stack, or bring back what is missing of it, and return once it is proven ready."""
    from stigmer_cli.cli.stack.up import start_stack

    flags = {
        "server_port": port,
        "temporal_port": temporal_port,
        "ui_port": ui_port,
        "temporal_address": temporal_address,
    }
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
    raise typer.Exit(start_stack(cli_of(ctx, output), flags, options, is_attached=attach))


def down(
    ctx: typer.Context,
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete data, logs and token.")] = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Stop the local stack, Temporal last; nothing running is no error."""
    from stigmer_cli.cli.stack.down import stop_stack

    stop_stack(cli_of(ctx, output), is_purged=purge, is_agreed=yes)


def restart(
    ctx: typer.Context,
    part: Annotated[str | None, typer.Argument(help="temporal, server or runner; all where none is named.")] = None,
    *,
    wait_timeout: WaitTimeout = 60.0,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Restart one part, or all, with the settings and keys of this shell; addresses change with all parts only."""
    from stigmer_cli.cli.stack.restart import restart_stack

    restart_stack(cli_of(ctx, output), part, StackOptions(wait_timeout_s=wait_timeout))


def status(
    ctx: typer.Context,
    *,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Also every change of the connection to Temporal that is remembered."),
    ] = False,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Go on, and show every change.")] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show every part of the stack: exit code 0 ready, 1 degraded, 3 stopped, 4 not to be reached."""
    from stigmer_cli.cli.stack.status import show_status

    raise typer.Exit(show_status(cli_of(ctx, output), is_verbose=verbose, is_watched=watch))


def logs(
    ctx: typer.Context,
    parts: Annotated[
        list[str] | None, typer.Argument(help="supervisor, temporal, server, runner; all by default.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")] = False,
    since: Annotated[str | None, typer.Option(metavar="SPAN", help="Not older than 90s, 10m, 1h30m, 2d.")] = None,
    tail: Annotated[int | None, typer.Option(min=0, metavar="N", help="The last N lines of each part.")] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show the log lines of the parts, oldest first.

    With -o json each is an object on a line of its own.
    """
    from stigmer_cli.cli.stack.logs import show_logs

    show_logs(cli_of(ctx, output), parts or [], since=since, tail=tail, is_followed=follow)


def ui(
    ctx: typer.Context,
    execution: Annotated[str | None, typer.Argument(metavar="[ID]", help="Open the page of this execution.")] = None,
    *,
    at: Annotated[
        str | None, typer.Option(metavar="URL", help="The server's address as the browser knows it, if forwarded.")
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", "--no-browser", help="Print the link, and open nothing.")
    ] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Open Temporal's web UI. The link works once, for a minute; the browser then has a session of twelve hours."""
    from stigmer_cli.cli.stack.ui import open_ui

    open_ui(cli_of(ctx, output), execution, at=at, is_printed=print_only)


def serve(ctx: typer.Context) -> None:
    """Run the server alone, in the foreground."""
    from stigmer_cli.cli.stack.serve import serve as run_server

    raise typer.Exit(run_server(cli_of(ctx)))


def work(ctx: typer.Context) -> None:
    """Run a runner alone, in the foreground; several may poll one Temporal."""
    from stigmer_cli.cli.stack.work import work as run_runner

    raise typer.Exit(run_runner(cli_of(ctx)))
