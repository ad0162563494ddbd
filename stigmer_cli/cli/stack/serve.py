"""`stigmer serve`: the server in the foreground, here or on another machine."""

from stigmer_cli import log
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.part_settings import part_settings
from stigmer_cli.server.serve import serve as run_server
from stigmer_cli.stack.precedence import refuse_another_database
from stigmer_cli.stack.settings_record import read_settings_record


def serve(cli: Cli) -> int:
    """Run until it is told to stop; the exit code."""
    settings = part_settings(cli)
    refuse_another_database(settings, read_settings_record(settings.home))
    log.configure("server", settings.log_level)
    return cli.run(run_server(settings, clock=cli.clock))
