"""`stigmer restart [PART]`: restarts one part, or the whole stack, with the current settings."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.next_steps import find_next_steps
from stigmer_cli.cli.stack.progress import show_progress
from stigmer_cli.cli.stack.ready import print_ready, tell_elsewhere, tell_outdated, tell_pending
from stigmer_cli.stack.attach import cancelled_by_ctrl_c
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.remote import refuse_elsewhere
from stigmer_cli.stack.restart import restart, restart_part
from stigmer_cli.stack.up import UpContext
from stigmer_cli.supervisor.record import read_record


def restart_stack(cli: Cli, part: str | None, options: StackOptions) -> None:
    """Restart `part`, or all parts if it is None, and print where the stack listens once it is ready."""
    settings = cli.load_own_settings()
    refuse_elsewhere(settings, "stigmer restart")
    around = UpContext(clock=cli.clock, environ=cli.environ, tell=cli.out.note, while_launching=cancelled_by_ctrl_c)
    before = read_record(settings.home.run)
    with show_progress(cli.out, cli.clock) as board:
        if part is None:
            ready = cli.run(restart(settings, options, progress=board, around=around))
        else:
            ready = cli.run(restart_part(settings, part, options, progress=board, around=around))
    print_ready(cli.out, ready, settings.home, then=find_next_steps(cli, ready, settings), before=before)
    tell_pending(cli.out, ready)
    tell_outdated(cli, ready)
    tell_elsewhere(cli, ready)
