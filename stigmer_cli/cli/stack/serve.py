"""`stigmer serve`: runs the server in the foreground, on the stack's machine or another one."""

import structlog

from stigmer_cli import log
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.part_settings import load_part_settings
from stigmer_cli.server.serve import serve as run_server
from stigmer_cli.stack.parts import IMPORTED
from stigmer_cli.stack.precedence import refuse_another_database
from stigmer_cli.stack.settings_record import read_settings_record


def serve(cli: Cli) -> int:
    """Run the server until a signal stops it; returns the exit code."""
    settings = load_part_settings(cli)
    refuse_another_database(settings, read_settings_record(settings.home))
    log.configure("server", settings.log_level)
    structlog.get_logger().info(IMPORTED)
    return cli.run(run_server(settings, clock=cli.clock))
