"""`stigmer work`: a runner in the foreground, here or on another machine."""

from stigmer_cli import log
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.part_settings import part_settings
from stigmer_cli.runner.worker import run_runner
from stigmer_cli.stack.remote import require_token


def work(cli: Cli) -> int:
    """Run until it is told to stop; the exit code."""
    settings = part_settings(cli)
    require_token(settings)
    log.configure("runner", settings.log_level)
    return cli.run(run_runner(settings, clock=cli.clock))
