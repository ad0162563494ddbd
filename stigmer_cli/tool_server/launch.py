"""Runs the program that it is given, and ends it with all that it started when whoever started this one dies.

    python -I -S launch.py PARENT KEPT PROGRAM ARGUMENT...

PARENT is the process id of the starter. Of the environment only the variables KEPT stay, which are names with commas.
It leads the process group: many servers are started by a package runner or a shell, and outlive these.
It is run as a file, and imports nothing of the package: it is on the way to each start of a server.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
NOT_STARTED = 127
"""The exit code of shells for a program that is not there."""

LOOK_EVERY_S = 1.0
"""Where the kernel does not tell that a parent has died."""

END_WITHIN_S = 0.5
"""How long what the program has left behind may take to end, once it was asked to."""

LOOK_AT_REST_S = 0.01
SIGNALLED = 128
IS_LINUX = sys.platform == "linux"


def main(parent: int, kept: frozenset[str], command: list[str]) -> None:
    """Run `command` to its end, end what it has started and left behind, and exit as it did."""
    signal.signal(signal.SIGHUP, end_group)
    ask_kernel(PR_SET_PDEATHSIG, signal.SIGHUP)
    ask_kernel(PR_SET_CHILD_SUBREAPER, 1)  # what the program leaves behind becomes a child of this process
    if os.getppid() != parent:  # it died before the call above could take effect
        sys.exit(NOT_STARTED)
    me, program = os.getpid(), os.fork()
    if program == 0:
        become(command, {name: value for name, value in os.environ.items() if name in kept}, parent=me)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the whole group gets it, and the program may need a moment
    for stream in (0, 1, 2):
        os.close(stream)  # the program has them, and their end is its own
    code = wait_for(program, parent)
    end_rest()
    os._exit(code)


def ask_kernel(what: int, value: int) -> None:
    """Set a property of this process: a signal when its parent dies, or that it adopts orphans."""
    if IS_LINUX:
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def become(command: list[str], environment: dict[str, str], *, parent: int) -> None:
    """Become the program, which the kernel ends if this one's parent is killed alone."""
    for number in (
        signal.SIGHUP,
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):  # Python ignores the last two, and its children would
        signal.signal(number, signal.SIG_DFL)
    ask_kernel(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(NOT_STARTED)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
    os._exit(NOT_STARTED)


def wait_for(program: int, parent: int) -> int:
    """The exit code of the program, as shells have it."""
    while True:
        ended, status = os.waitpid(-1, 0 if IS_LINUX else os.WNOHANG)
        if ended and ended != program:
            continue  # an orphan of the program
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code
        if os.getppid() != parent:
            end_group()
        time.sleep(LOOK_EVERY_S)


def end_rest() -> None:
    """Ask what the program has left behind to end, and end it with this process where it does not.

    Only Linux gives orphans to this process; elsewhere they are asked, and nobody sees whether they end.
    """
    os.killpg(0, signal.SIGTERM)
    deadline_s = time.monotonic() + END_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not ended:
            time.sleep(LOOK_AT_REST_S)
    else:
        end_group()


def end_group(*_: object) -> None:
    """End this process, the program, and all that it started in this group."""
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), frozenset(sys.argv[2].split(",")), sys.argv[3:])
