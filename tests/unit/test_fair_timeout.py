"""The deadline that counts only time in which one could work."""

import asyncio
import math
import os
import sys
import time

import pytest

from stigmer_cli.fair_timeout import COMPUTING_MAX_S, FairTimeout, thread_times
from stigmer_cli.supervisor.process import IS_LINUX

SPIN = "print(flush=True)\nwhile True: pass"


async def waited_s(limit_s: float, *pids: int) -> float:
    """How long it takes on the wall until the deadline ends a wait for nothing."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with FairTimeout(limit_s, waits_for=pids):
            await asyncio.get_running_loop().create_future()
    return time.monotonic() - began


async def test_it_ends_a_wait_and_not_before_its_time() -> None:
    assert await waited_s(0.2) >= 0.2


async def test_what_ends_in_time_is_left_alone() -> None:
    async with FairTimeout(0.2) as deadline:
        await asyncio.sleep(0.06)
    await asyncio.sleep(0.3)  # nothing fires afterwards
    assert 0.0 < deadline.served_s < 0.2


async def test_a_loop_that_stands_still_does_not_use_the_time_up() -> None:
    async with FairTimeout(0.3) as deadline:
        time.sleep(0.5)  # noqa: ASYNC251 - as without a processor
        await asyncio.sleep(0.01)
    assert deadline.starved_s >= 0.3


async def test_a_cancellation_from_outside_stays_one() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), FairTimeout(math.inf) as deadline:
            await asyncio.get_running_loop().create_future()
    assert deadline.served_s < 1.0


@pytest.mark.skipif(not IS_LINUX, reason="what the scheduler counts is told on Linux")
async def test_a_process_that_computes_is_waited_for_longer_and_not_for_ever() -> None:
    busy = await asyncio.create_subprocess_exec(sys.executable, "-c", SPIN, stdout=asyncio.subprocess.PIPE)
    assert busy.stdout
    await busy.stdout.readline()
    try:
        took_s = await waited_s(0.5, busy.pid)
    finally:
        busy.kill()
        await busy.wait()
    assert took_s >= COMPUTING_MAX_S, "it computed all the while"


async def test_a_process_that_sleeps_is_not_waited_for_any_longer() -> None:
    silent = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        async with FairTimeout(math.inf, waits_for=(silent.pid,)) as deadline:
            await waited_s(0.2, silent.pid)
    finally:
        silent.kill()
        await silent.wait()
    assert deadline.served_s < COMPUTING_MAX_S


def test_a_process_that_is_gone_has_no_times() -> None:
    assert thread_times(2**22 - 7) == {}
    assert not IS_LINUX or thread_times(os.getpid())
