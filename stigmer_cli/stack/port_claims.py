"""Claims on ports among the stacks of a machine, from the draw until the stack that drew them is gone.

A port that was found free is taken by a child a second later, and is free again while a child is restarted. A claim
covers both: `up` takes it before it looks, and the supervisor inherits it. It is a socket in Linux's abstract namespace
(unix(7)), which leaves no file, belongs to the same network namespace as the port, and ends with the last process that
holds it. Elsewhere every claim is granted, and a stack that is late draws again.
"""

import errno
import socket
from types import TracebackType
from typing import Self

from stigmer_cli.supervisor.process import IS_LINUX

NAME = "\0stigmer-port-{port}"


class PortClaims:
    """The claims of one `up`. Use it as a context manager: leaving it releases what no supervisor has inherited."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        """The claims, none yet."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Release all."""
        self.leave_to_supervisor()

    def leave_to_supervisor(self) -> None:
        """Release our share of all: what a supervisor has inherited stays claimed for as long as it lives."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a supervisor inherits."""
        return tuple(held.fileno() for held in self._held.values())

    def take(self, port: int) -> bool:
        """Whether `port` is claimed by us now; False where another stack has it, or is about to."""
        if port in self._held or not IS_LINUX:
            return True
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(NAME.format(port=port))
        except OSError as error:
            claim.close()
            return error.errno != errno.EADDRINUSE  # a machine that forbids such sockets has none to disagree with
        self._held[port] = claim
        return True

    def release(self, port: int) -> None:
        """Release `port`, which is in use."""
        held = self._held.pop(port, None)
        if held is not None:
            held.close()
