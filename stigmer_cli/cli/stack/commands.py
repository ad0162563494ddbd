"""Declares the commands about the stack; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, WaitTimeout, Yes
from stigmer_cli.stack.options import StackOptions

UiPort = Annotated[
    str | None,
    typer.Option(
        metavar="PORT", help="Port of Temporal's own web UI, which the server shows under /ui. Default: random."
    ),
]
UiSwitch = Annotated[
    bool | None,
    typer.Option("--ui/--no-ui", help="Turn Temporal's web UI on, even if web pages can reach it, or off."),
]
TemporalAddress = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Use a Temporal that runs elsewhere.")]
AdoptTemporal = Annotated[
    bool,
    typer.Option(
        "--adopt-temporal", help="Move a shared store to this stack's Temporal. Servers that use the old one exit."
    ),
]
AutoPorts = Annotated[bool, typer.Option("--auto-ports", help="Use free ports if the usual ones are taken.")]
NewDatabase = Annotated[
    bool, typer.Option("--new-database", help="Use a different database. Executions are not moved.")
]
NewStore = Annotated[
    bool, typer.Option("--new-store", help="Accept that the recorded store is gone. Its executions are not restored.")
]
NewSettings = Annotated[bool, typer.Option("--new-settings", help="Forget the ports and addresses of earlier starts.")]


def init(
    ctx: typer.Context,
    *,
    directory: Annotated[
        str | None,
        typer.Option("--directory", metavar="DIRECTORY", help="The project's directory. Default: the current one."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Give a project a stack of its own, with a first agent.

    The stack has free ports, and its home is .stigmer in the project's directory. Repeating it changes nothing.
    """
    from stigmer_cli.cli.stack.init import init_stack

    init_stack(cli_of(ctx, output), directory)


def up(
    ctx: typer.Context,
    *,
    attach: Annotated[
        bool, typer.Option("--attach", help="Stay here and show the logs. Ctrl-C stops the stack.")
    ] = False,
    wait_timeout: WaitTimeout = 60.0,
    port: Annotated[str | None, typer.Option("--port", metavar="PORT", help="Port of the server.")] = None,
    temporal_port: Annotated[str | None, typer.Option(metavar="PORT", help="Port of Temporal.")] = None,
    ui_port: UiPort = None,
    temporal_address: TemporalAddress = None,
    auto_ports: AutoPorts = False,
    adopt_temporal: AdoptTemporal = False,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep Temporal's data in memory only.")] = False,
    ui: UiSwitch = None,
    new_database: NewDatabase = False,
    new_store: NewStore = False,
    new_settings: NewSettings = False,
    timings: Annotated[bool, typer.Option("--timings", help="Show where the time of the start went.")] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Start the local stack, or the parts that are not running. Returns when the stack is ready."""
    cli = cli_of(ctx, output)
    cli.out.note(f"home: {cli.home.path}")  # before the imports, which take longer than all else until a part starts
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
        new_store=new_store,
        new_settings=new_settings,
    )
    raise typer.Exit(start_stack(cli, flags, options, is_attached=attach, is_timed=timings))


def down(
    ctx: typer.Context,
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete data, logs and token.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Stop every stack of yours on this machine.")] = False,
    yes: Yes = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Stop the local stack, Temporal last. It is no error if nothing runs."""
    if all_:
        from stigmer_cli.cli.stack.down_all import stop_all_stacks

        if purge:
            raise typer.BadParameter("--purge deletes the data of one stack; stop all without it")
        raise typer.Exit(stop_all_stacks(cli_of(ctx, output), is_agreed=yes))
    from stigmer_cli.cli.stack.down import stop_stack

    stop_stack(cli_of(ctx, output), is_purged=purge, is_agreed=yes)


def restart(
    ctx: typer.Context,
    part: Annotated[
        str | None, typer.Argument(metavar="[PART]", help="temporal, server or runner. Default: all.")
    ] = None,
    *,
    wait_timeout: WaitTimeout = 60.0,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Restart one part, or all, with this shell's settings and keys. Only a restart of all parts changes addresses."""
    from stigmer_cli.cli.stack.restart import restart_stack

    restart_stack(cli_of(ctx, output), part, StackOptions(wait_timeout_s=wait_timeout))


def status(
    ctx: typer.Context,
    *,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Also show every recorded change of the connection to Temporal."),
    ] = False,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Keep running, and show every change.")] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show every part of the stack. Exit code 0: ready; 1: degraded; 3: stopped; 4: cannot be reached."""
    from stigmer_cli.cli.stack.status import show_status

    raise typer.Exit(show_status(cli_of(ctx, output), is_verbose=verbose, is_watched=watch))


def logs(
    ctx: typer.Context,
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PART]...", help="supervisor, temporal, server, runner. Default: all."),
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Keep running, and show new lines.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only lines since TIME: 10m, 2h, yesterday, 14:30, 2026-11-25 14:30, in local time."
        ),
    ] = None,
    tail: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only the last N lines of each part.")] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show the log lines of the parts, oldest first.

    With -o json, each log line is one JSON object.
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
    """Open Temporal's web UI. The link works once, within a minute, and gives the browser a session of twelve hours."""
    from stigmer_cli.cli.stack.ui import open_ui

    open_ui(cli_of(ctx, output), execution, at=at, is_printed=print_only)


def ls(ctx: typer.Context, *, output: OutputFormat = Format.TABLE) -> None:
    """List every stack of yours on this machine. The one that is used here is marked."""
    from stigmer_cli.cli.stack.ls import list_stacks

    list_stacks(cli_of(ctx, output))


def serve(ctx: typer.Context) -> None:
    """Run the server alone, in the foreground."""
    from stigmer_cli.cli.stack.part import run_server

    raise typer.Exit(run_server(cli_of(ctx)))


def work(ctx: typer.Context) -> None:
    """Run a runner alone, in the foreground. Several may poll one Temporal."""
    from stigmer_cli.cli.stack.part import run_runner

    raise typer.Exit(run_runner(cli_of(ctx)))
