"""`stigmer schedules pause` and `resume`."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.cli.schedules.list import print_schedules


def set_paused(cli: Cli, workflow: str, *, is_paused: bool) -> None:
    """Pause what has a workflow run by itself, or have it go on; print its schedules."""
    found = call_with_retry(cli, lambda client: client.pause_schedules(workflow, is_paused=is_paused))
    cli.out.result(found.to_wire(), lambda console: print_schedules(console, found.items, cli.now()))
