"""The first process of a container: every process there that has lost its parent becomes its child, to be reaped.

Tool servers and commands of workflows leave such processes behind. Unreaped, they stay in the table of processes as
zombies until the container may start no more.
"""

import os
import signal
import sys
from contextlib import suppress

FIRST = 1
ENDED_BY_SIGNAL = 128


def go_on_as_child() -> None:
    """Where this is the first process, return in a child; the first passes signals on, reaps, and ends with that.

    Call it before there are threads, and before a signal is handled.
    """
    if os.getpid() != FIRST:
        return
    passed_on = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
    awaited = passed_on | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    child = os.fork()
    if child == 0:
        _take_terminal()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    while True:
        number = signal.sigwait(awaited)
        if number == signal.SIGCHLD:
            _reap(child)
        else:
            with suppress(ProcessLookupError):
                os.kill(child, number)


def _reap(child: int) -> None:
    """Reap what has ended; once that is `child`, end with its exit code."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else ENDED_BY_SIGNAL - code)


def _take_terminal() -> None:
    """Have a group of its own, the one that the terminal sends Ctrl-C to: it would arrive twice otherwise."""
    os.setpgid(0, 0)
    if sys.stdin is None or not sys.stdin.isatty():
        return
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(OSError):  # the terminal is not this session's
        os.tcsetpgrp(sys.stdin.fileno(), os.getpid())
    signal.signal(signal.SIGTTOU, before)
