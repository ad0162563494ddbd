"""What a stack needs of the machine, and what a sandbox or a chroot may lack."""

import os
import resource
import socket

from stigmer_cli.errors import MachineError, reason_of
from stigmer_cli.stack.parts import LOOPBACK
from stigmer_cli.stack.task_limits import raise_task_limit, read_task_limits
from stigmer_cli.supervisor.process import IS_LINUX, start_mark

ANY_PORT = 9

TASKS_MIN = 64
"""Processes and threads. An idle stack has 35 on two cores, and fails again and again where only 28 may run."""

KIB = 1024
LIMITS = (
    (resource.RLIMIT_FSIZE, 64 * KIB, "-f", "LimitFSIZE", "a file may have"),
    (resource.RLIMIT_AS, 960 * KIB, "-v", "LimitAS", "a process may address"),
    (resource.RLIMIT_DATA, 192 * KIB, "-d", "LimitDATA", "the data of a process may have"),
)
"""Limits of a shell that all parts inherit, in KiB: with less, Temporal ends at its start without a word of the limit.

Measured: an empty stack starts with 20,000, 1,000,000 and 200,000; not with 1,000, 700,000 and 100,000.
"""


def require_machine() -> None:
    """Raise MachineError where nothing can be connected to, processes cannot be told apart, or have too little."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((LOOPBACK, ANY_PORT))  # sends nothing: the kernel only looks for the way
        except OSError as error:
            raise MachineError(
                f"{LOOPBACK} cannot be reached ({reason_of(error)}): the loopback interface is down",
                hint="sudo ip link set lo up",
            ) from error
    if IS_LINUX and start_mark(os.getpid()) is None:
        raise MachineError("/proc cannot be read: processes cannot be told apart", hint="sudo mount -t proc proc /proc")
    _require_limits()
    allowed = min((limit.allowed for limit in read_task_limits()), default=TASKS_MIN)
    if allowed < TASKS_MIN:
        raise MachineError(
            f"only {allowed} processes and threads may run here (pids.max), and a stack needs {TASKS_MIN} at least",
            hint=raise_task_limit(allowed),
        )


def _require_limits() -> None:
    for kind, needed_kib, option, name, what in LIMITS:
        soft, hard = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY and soft < needed_kib * KIB:
            is_lasting = hard != resource.RLIM_INFINITY  # ulimit of bash lowers the hard limit, too
            raise MachineError(
                f"{what} only {soft // KIB} KiB here (ulimit {option}), and a stack needs {needed_kib}",
                hint=f"a new shell, or {name}=infinity in the systemd unit"
                if is_lasting
                else f"ulimit {option} unlimited",
            )
