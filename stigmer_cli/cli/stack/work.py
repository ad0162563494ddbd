"""`stigmer work`: runs a runner in the foreground, on the stack's machine or another one."""

from contextlib import suppress

import structlog

from stigmer_cli import log
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.part_settings import load_part_settings
from stigmer_cli.files import OWNER_ONLY_FOLDER
from stigmer_cli.runner.worker import run_runner
from stigmer_cli.stack.parts import IMPORTED
from stigmer_cli.stack.remote import require_token


def work(cli: Cli) -> int:
    """Run the runner until a signal stops it; returns the exit code."""
    settings = load_part_settings(cli)
    require_token(settings)
    with suppress(OSError):  # a runner that is not of this machine's stack may be the first to use the home
        settings.home.path.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    log.configure("runner", settings.log_level)
    structlog.get_logger().info(IMPORTED)
    return cli.run(run_runner(settings, clock=cli.clock, environ=cli.environ))
