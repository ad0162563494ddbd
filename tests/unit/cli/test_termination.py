"""SIGTERM and a closed terminal cancel what a command does, as Ctrl-C does."""

import asyncio
import os
import signal

import pytest

from stigmer_cli.cli.termination import HEEDED, cancelled_on_termination


@pytest.mark.parametrize("number", HEEDED)
async def test_each_cancels_the_task_and_is_told(number: signal.Signals) -> None:
    told: list[int] = []

    async def work() -> None:
        with cancelled_on_termination(told.append):
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()

    async with asyncio.timeout(10):
        done, _ = await asyncio.wait({asyncio.get_running_loop().create_task(work())})
    assert done.pop().cancelled()
    assert told == [number]
    assert signal.getsignal(number) is signal.SIG_DFL


async def test_one_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup(1) does
    try:
        with cancelled_on_termination(lambda _: None):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
