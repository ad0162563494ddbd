"""Becomes the program that it is given, so that the kernel ends it when whoever started it dies.

    python -I -S launch.py PARENT KEPT PROGRAM ARGUMENT...

PARENT is the process id of the starter. Of the environment only the variables KEPT stay, which are names with commas.
It is run as a file, and imports nothing of the package: it is on the way to each start of a server.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_STARTED = 127
"""The exit code of shells for a program that is not there."""


def main(parent: int, kept: frozenset[str], command: list[str]) -> None:
    """Replace this process by `command`; end it where the parent is dead, or the command cannot be started."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above could take effect
            sys.exit(NOT_STARTED)
    environment = {name: value for name, value in os.environ.items() if name in kept}
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main(int(sys.argv[1]), frozenset(sys.argv[2].split(",")), sys.argv[3:])
