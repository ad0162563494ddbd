"""Handles of processes, which stand for no other process that gets the same pid (pidfd_open(2)); Linux only.

They are made by their system calls: a Python that was built with headers of an old kernel has no functions for them.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache

PIDFD_SEND_SIGNAL, PIDFD_OPEN, PIDFD_GETFD = 424, 434, 438
"""The numbers of the calls on every architecture: those from 424 on are shared (syscalls(2))."""


def open_process(pid: int) -> int:
    """The handle of process `pid`, to be closed.

    Raises OSError: ESRCH where there is none, ENOSYS before Linux 5.3, EPERM where a container forbids the call.
    """
    return _call("pidfd_open", PIDFD_OPEN, pid, 0)


def send_signal(handle: int, number: int) -> None:
    """Signal the process of `handle`; raises OSError, ESRCH where it is gone."""
    _call("pidfd_send_signal", PIDFD_SEND_SIGNAL, handle, number, None, 0)


def borrow_file(handle: int, number: int) -> int:
    """A copy of the open file `number` of the process, to be closed; raises OSError where it may not be had."""
    return _call("pidfd_getfd", PIDFD_GETFD, handle, number, 0)


def _call(name: str, *arguments: int | None) -> int:
    answer = _syscall()(*arguments)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return answer


@cache
def _syscall() -> Callable[..., int]:
    found: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
    return found
