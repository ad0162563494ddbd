"""`stigmer serve` and `stigmer work`: one process of the stack in the foreground, here or on another machine."""

import typer

from stigmer_cli.cli.context import cli_of


def serve(ctx: typer.Context) -> None:
    """Run the server alone, in the foreground."""
    from stigmer_cli import log  # noqa: PLC0415 - each process imports only what it runs
    from stigmer_cli.server.serve import serve as run_server  # noqa: PLC0415

    cli = cli_of(ctx)
    settings = cli.settings()
    log.configure("server", settings.log_level)
    raise typer.Exit(cli.run(run_server(settings, clock=cli.clock)))


def work(ctx: typer.Context) -> None:
    """Run a runner alone, in the foreground; several may poll one Temporal."""
    from stigmer_cli import log  # noqa: PLC0415 - each process imports only what it runs
    from stigmer_cli.runner.worker import run_runner  # noqa: PLC0415

    cli = cli_of(ctx)
    settings = cli.settings()
    log.configure("runner", settings.log_level)
    raise typer.Exit(cli.run(run_runner(settings, clock=cli.clock)))
