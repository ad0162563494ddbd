"""Keeps a stack in the foreground: shows its log lines; the first Ctrl-C stops it, the second kills it."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence

from stigmer_cli.clock import Clock
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import Ended, down
from stigmer_cli.stack.logs import Follower, Line
from stigmer_cli.stack.parts import NAMES
from stigmer_cli.supervisor.control import connect
from stigmer_cli.supervisor.process import ProcessId

ANSWER_MAX_S = 2.0
A_DAY_S = 86_400.0
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def follow_until_stopped(
    home: Home, own: ProcessId, *, on_ready: Callable[[], None], on_line: Callable[[Line], None], clock: Clock
) -> Ended | None:
    """Hand every log line to `on_line` until a signal asks for the end, then stop the stack.

    `on_ready` is called once signals are listened to.
    Returns what was stopped, or None where another command stopped the stack. Raises what `on_line` raises, as
    where its reader has left; the stack then goes on.
    """
    asked = asyncio.Event()

    def act() -> None:
        if asked.is_set():
            own.send(signal.SIGKILL)  # its parts die with it
        asked.set()

    # One handler for both: between two, a second Ctrl-C would end this process and leave the stack running.
    with call_on_signals(act):
        on_ready()
        try:
            async with asyncio.TaskGroup() as group:
                loops = [
                    group.create_task(_pass_lines(home, on_line, clock), name="lines"),
                    group.create_task(_tell_when_gone(home, asked), name="gone"),
                ]
                await asked.wait()
                for loop in loops:
                    loop.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return await down(home, clock=clock) if own.is_alive else None


@contextlib.contextmanager
def call_on_signals(act: Callable[[], object], numbers: Sequence[signal.Signals] = ENDINGS) -> Iterator[None]:
    """A context in which these signals call `act`, each time; after it they do what they did before.

    What the event loop was to call before is lost. A closed terminal is nothing to a command under nohup(1).
    """
    loop = asyncio.get_running_loop()
    is_detached = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heeded = [number for number in numbers if not (is_detached and number == signal.SIGHUP)]
    before = {number: signal.getsignal(number) for number in heeded if not loop.remove_signal_handler(number)}
    for number in heeded:
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
            if (handler := before.get(number)) is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def cancelled_by_ctrl_c() -> Iterator[None]:
    """A context in which each Ctrl-C cancels the present task.

    A second Ctrl-C breaks off what asyncio does, and with it what a cancelled task does to clean up; a third one even
    what that leaves behind.
    """
    task = asyncio.current_task()
    with call_on_signals(lambda: task and task.cancel(), [signal.SIGINT]):
        yield


async def _pass_lines(home: Home, on_line: Callable[[Line], None], clock: Clock) -> None:
    with Follower(home, NAMES) as follower:
        async for line in follower.lines(clock=clock):
            on_line(line)


async def _tell_when_gone(home: Home, asked: asyncio.Event) -> None:
    control = await connect(home.run, within_s=ANSWER_MAX_S)
    if control is not None:
        async with control:
            while not await control.is_gone(A_DAY_S):
                pass
    asked.set()
