"""What ends a command before its time.

SIGTERM and a closed terminal do as Ctrl-C does: what it does is broken off, and undone where need be. So does a reader
that leaves, for a command that only waits for something to print: its next line may be hours away.
"""

import errno
import os
import select
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

STDOUT = 1
LOOK_EVERY_S = 0.5
"""How soon it is seen that the reader of standard output has left."""

HEEDED = (signal.SIGTERM, signal.SIGHUP)


def raised_on_termination(tell: Callable[[int], None]) -> AbstractContextManager[None]:
    """A context in which each of these signals raises KeyboardInterrupt, after `tell` was called with its number."""

    def raise_interrupt(number: int, _frame: FrameType | None) -> None:
        tell(number)
        raise KeyboardInterrupt

    return _handled(raise_interrupt)


def cancelled_on_termination(tell: Callable[[int], None]) -> AbstractContextManager[None]:
    """A context in which each of them cancels the present task, after `tell` was called with its number."""
    from asyncio import current_task, get_running_loop  # noqa: PLC0415 - every command line imports this module

    loop, task = get_running_loop(), current_task()

    def cancel(number: int, _frame: FrameType | None) -> None:
        tell(number)
        if task is not None:
            task.cancel()
        loop.call_soon_threadsafe(_wake)

    return _handled(cancel)


@contextmanager
def cancelled_without_reader() -> Iterator[None]:
    """A context in which the present task is cancelled once the reader of the pipe on standard output has left.

    Raises BrokenPipeError then, as the next write would.
    """
    from asyncio import CancelledError, current_task, get_running_loop  # noqa: PLC0415

    loop, task = get_running_loop(), current_task()
    has_left, is_over = False, False

    def look() -> None:
        nonlocal has_left
        if is_over or task is None:
            return
        has_left = has_reader_left()
        if has_left:
            task.cancel()
        else:
            loop.call_later(LOOK_EVERY_S, look)

    look()
    try:
        yield
    except CancelledError:
        if not has_left or task is None or task.uncancel():
            raise
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
    finally:
        is_over = True


def has_reader_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more (poll(2): POLLERR on its writing end)."""
    try:
        if not stat.S_ISFIFO(os.fstat(STDOUT).st_mode):
            return False
        poll = select.poll()
        poll.register(STDOUT, 0)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except OSError:
        return False


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """A signal that is ignored stays so: a closed terminal is nothing to a command under nohup(1)."""
    before = {number: signal.getsignal(number) for number in HEEDED}
    heeded = {number: found for number, found in before.items() if found not in (signal.SIG_IGN, None)}
    for number in heeded:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, found in heeded.items():
            signal.signal(number, found)


def _wake() -> None:
    """Do nothing: the loop looks at what is cancelled when it is called."""
