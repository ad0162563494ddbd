"""What a stack needs of the machine, and what a sandbox or a chroot may lack."""

import os
import socket

from stigmer_cli.errors import MachineError, reason_of
from stigmer_cli.stack.parts import LOOPBACK
from stigmer_cli.supervisor.process import IS_LINUX, start_mark

ANY_PORT = 9


def require_machine() -> None:
    """Raise MachineError where nothing on this machine can be connected to, or processes cannot be told apart."""
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
