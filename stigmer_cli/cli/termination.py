"""SIGTERM and a closed terminal end a command as Ctrl-C does: what it does is broken off, and undone where need be."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

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
