"""`stigmer serve` and `stigmer work`: one process of the stack in the foreground, here or on another machine."""

from dataclasses import replace

import typer

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.settings import Settings
from stigmer_cli.stack.precedence import kept, refuse_another_database
from stigmer_cli.stack.settings_record import read_settings_record
from stigmer_cli.stack.state import endpoints


def serve(ctx: typer.Context) -> None:
    """Run the server alone, in the foreground."""
    from stigmer_cli import log  # noqa: PLC0415 - each process imports only what it runs
    from stigmer_cli.server.serve import serve as run_server  # noqa: PLC0415

    cli = cli_of(ctx)
    settings = _part_settings(cli)
    refuse_another_database(settings, read_settings_record(settings.home))
    log.configure("server", settings.log_level)
    raise typer.Exit(cli.run(run_server(settings, clock=cli.clock)))


def work(ctx: typer.Context) -> None:
    """Run a runner alone, in the foreground; several may poll one Temporal."""
    from stigmer_cli import log  # noqa: PLC0415 - each process imports only what it runs
    from stigmer_cli.runner.worker import run_runner  # noqa: PLC0415
    from stigmer_cli.stack.remote import require_token  # noqa: PLC0415

    cli = cli_of(ctx)
    settings = _part_settings(cli)
    require_token(settings)
    log.configure("runner", settings.log_level)
    raise typer.Exit(cli.run(run_runner(settings, clock=cli.clock)))


def _part_settings(cli: Cli) -> Settings:
    """The settings of a part: what is said for it, else the addresses that the stack of this home was started with."""
    settings = cli.own_settings()
    found = endpoints(settings.home)
    settings = kept(settings, read_settings_record(settings.home))
    return replace(settings, server_url=found.server_url) if found and settings.server_url is None else settings
