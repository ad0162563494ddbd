"""What ends a command that is attached to a stack, and what does not."""

import asyncio
import os
import signal

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.stack.attach import call_on_signals, follow_until_stopped
from stigmer_cli.stack.logs import Line
from tests.support.stub_stack import Stack


@pytest.mark.parametrize(("inherited", "ends"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
async def test_a_closed_terminal_is_nothing_to_who_was_started_by_nohup(
    inherited: signal.Handlers, *, ends: bool
) -> None:
    called, later = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, later.set)
    before = signal.signal(signal.SIGHUP, inherited)
    try:
        with call_on_signals(called.set):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(later.wait(), 10)
            assert called.is_set() is ends
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(called.wait(), 10)
        assert signal.getsignal(signal.SIGHUP) is inherited
    finally:
        signal.signal(signal.SIGHUP, before)
        loop.remove_signal_handler(signal.SIGUSR1)


async def test_a_reader_that_leaves_ends_the_command_and_not_the_stack(stack: Stack) -> None:
    def write_for_ever() -> None:
        with (stack.home.logs / "server.log").open("a") as file:
            file.write("a line\n")
        asyncio.get_running_loop().call_later(0.1, write_for_ever)

    def refuse(_line: Line) -> None:
        raise BrokenPipeError

    ready = await stack.up()
    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(
            follow_until_stopped(
                stack.home, ready.record.id, on_ready=write_for_ever, on_line=refuse, clock=SystemClock()
            ),
            20,
        )
    assert ready.record.id.is_alive
