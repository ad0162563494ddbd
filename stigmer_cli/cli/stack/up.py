"""`stigmer up`: starts the local stack, and returns once it is proven ready."""

import signal
from collections.abc import Mapping, Sequence
from datetime import datetime

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.logs import Printer
from stigmer_cli.cli.stack.next_steps import find_next_steps
from stigmer_cli.cli.stack.progress import show_progress
from stigmer_cli.cli.stack.ready import print_ready, tell_elsewhere, tell_outdated, tell_pending
from stigmer_cli.domain.stuck import RECONCILE
from stigmer_cli.open_files import require_files
from stigmer_cli.options import ReconcileMode
from stigmer_cli.settings import Settings
from stigmer_cli.stack.attach import cancelled_by_ctrl_c, follow_until_stopped
from stigmer_cli.stack.down import down
from stigmer_cli.stack.known_homes import KnownHomes
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.start_timings import PartTimings, StartTimings
from stigmer_cli.stack.up import Ready, UpContext, up

INTERRUPTED = 130
EPHEMERAL = "--ephemeral: executions that Temporal holds are forgotten when it stops; "
FORGOTTEN = {
    ReconcileMode.AUTO: "the server submits them again, and asks you about those that had begun",
    ReconcileMode.MANUAL: f"they stay PENDING until you type {RECONCILE} (reconcile is {ReconcileMode.MANUAL})",
}


def start_stack(
    cli: Cli, flags: Mapping[str, str | None], options: StackOptions, *, is_attached: bool, is_timed: bool
) -> int:
    """Start it with the settings that `flags` override, print where it listens, and return the exit code.

    `is_attached`: print the logs until Ctrl-C or another command stops the stack. `is_timed`: also print
    where the time went.
    """
    began = cli.clock.now()
    settings = cli.load_own_settings(is_look=False, **flags)
    require_files()
    cli.out.outlives_reader = True
    if options.ephemeral:
        cli.out.note(EPHEMERAL + FORGOTTEN[settings.reconcile])
    KnownHomes(cli.environ, user_home=cli.user_home).remember(settings.home)
    ready, timings = _bring_up(cli, settings, options, began)
    tell_pending(cli.out, ready)
    tell_outdated(cli, ready)
    tell_elsewhere(cli, ready)
    if is_attached:
        return _stay_attached(cli, settings, ready)
    next_steps = find_next_steps(cli, ready, settings)
    print_ready(cli.out, ready, settings.home, then=next_steps, timings=timings if is_timed else None)
    return 0


def _bring_up(
    cli: Cli, settings: Settings, options: StackOptions, began: datetime
) -> tuple[Ready, Sequence[PartTimings]]:
    around = UpContext(clock=cli.clock, environ=cli.environ, tell=cli.out.note, while_launching=cancelled_by_ctrl_c)
    with show_progress(cli.out, cli.clock) as board:
        timings = StartTimings(board, clock=cli.clock, began=began)
        ready = cli.run(up(settings, options, progress=timings, around=around))
    return ready, timings.collect(ready)


def _stay_attached(cli: Cli, settings: Settings, ready: Ready) -> int:
    cli.out.outlives_reader = False  # what is left to do is to print
    try:
        print_ready(cli.out, ready, settings.home, then=find_next_steps(cli, ready, settings))
        return _follow_logs(cli, settings, ready)
    except KeyboardInterrupt:  # it came before `follow_until_stopped` handled signals
        cli.run(down(settings.home, clock=cli.clock))
        raise


def _follow_logs(cli: Cli, settings: Settings, ready: Ready) -> int:
    printer = Printer(cli.out, today=cli.clock.now())
    ended = cli.run(
        follow_until_stopped(
            settings.home,
            ready.record.id,
            on_ready=lambda: cli.out.note("Ctrl-C stops the stack"),
            on_line=printer.show,
            clock=cli.clock,
        )
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stack is stopped; another Ctrl-C has nothing to do
    if ended is None:
        cli.out.note("the stack was stopped by another command")
        return 0
    for part in ended.parts:
        cli.out.note(f"{part.name} (pid {part.pid}): {part.how}")
    return INTERRUPTED
