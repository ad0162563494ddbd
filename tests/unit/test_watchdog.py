"""When an event loop counts as blocked by its own code, and what is told of it."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from stigmer_cli.clock import SystemClock
from stigmer_cli.watchdog import DEGRADED_S, LoopWatch, Standstill, Usage, overslept_s, own_s
from tests.support.fakes import START, ManualClock


def usage(now: float, *, cpu: float = 0.0, delay: float = 0.0, process: float | None = None) -> Usage:
    return Usage(now=now, cpu_s=cpu, delay_s=delay, process_cpu_s=cpu if process is None else process)


@pytest.mark.parametrize(
    ("after", "excused_s", "blocked_s"),
    [
        (usage(0.05), 0.0, 0.0),  # on time
        (usage(0.35), 0.0, 0.3),  # it slept in a call that blocks
        (usage(0.35, cpu=0.3), 0.0, 0.3),  # it computed
        (usage(0.35, cpu=0.02, delay=0.28), 0.0, 0.02),  # it was ready, and got no processor
        (usage(3.05, cpu=0.7, delay=2.3), 0.0, 0.7),  # it computed on a busy machine
        (usage(60.05), 60.0, 0.0),  # the process was stopped for a minute
        (usage(60.05, cpu=0.4), 60.0, 0.4),
        (usage(0.04, cpu=0.04), 0.0, 0.0),  # early, as a coarse clock tells it
    ],
)
def test_a_loop_is_late_by_its_own_fault_only(after: Usage, excused_s: float, blocked_s: float) -> None:
    assert own_s(usage(0.0), after, excused_s=excused_s) == pytest.approx(blocked_s)


@pytest.mark.parametrize(
    ("slept_s", "cpu_s", "overslept"),
    [
        (0.05, 0.0, 0.0),
        (0.055, 0.0, 0.0),  # a little late, as threads are
        (0.09, 0.0, 0.04),  # stopped for a short time; several such stops in one tick add up to a block
        (60.05, 0.0, 60.0),  # stopped
        (1.05, 1.0, 0.0),  # another thread had the interpreter's lock, and computed
        (1.05, 0.25, 0.75),  # it had the lock, and the machine let it compute a quarter of the time
    ],
)
def test_a_watcher_that_overslept_excuses_what_the_process_did_not_use(
    slept_s: float, cpu_s: float, overslept: float
) -> None:
    assert overslept_s(slept_s, cpu_s) == pytest.approx(overslept)


class Count:
    def __init__(self) -> None:
        self.blocks: list[float] = []

    def loop_blocked(self, seconds: float) -> None:
        self.blocks.append(seconds)


def hold_the_loop(seconds: float) -> None:
    time.sleep(seconds)


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize("block", [hold_the_loop, compute])
async def test_a_block_is_reported_with_the_stack_that_caused_it(block: Callable[[float], None]) -> None:
    with capture_logs() as lines:
        watch = LoopWatch(clock=SystemClock(), part="runner")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            await asyncio.sleep(0.2)
            block(1.0)
            await asyncio.sleep(0.2)
            watching.cancel()
    (told,) = [line for line in lines if line["event"] == "event_loop_blocked"]
    assert told["blocked_s"] > 0.1
    assert any(str(frame).endswith(f" {block.__name__}") for frame in told["stack"]), told


async def test_a_loop_that_runs_is_not_reported() -> None:
    with capture_logs() as lines:
        watch = LoopWatch(clock=SystemClock())
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            for _ in range(50):
                compute(0.005)
                await asyncio.sleep(0.005)
            watching.cancel()
    assert lines == []


async def test_health_reports_a_block_for_a_limited_time() -> None:
    clock = ManualClock()
    watch = LoopWatch(clock=clock, observer=Count())
    assert watch.complaint == ""
    watch.last = Standstill(seconds=5.04, ended_at=START, ended_s=clock.monotonic())
    assert watch.complaint == (
        "the server stood still for 5s until 2026-05-04T12:00:00.000Z; see `stigmer logs server`"
    )
    clock.set(3600)
    await clock.advance(DEGRADED_S)
    assert watch.complaint, "an hour that the wall clock was set by has not passed"
    await clock.advance(0.1)
    assert watch.complaint == ""
    assert watch.last.ended_at + timedelta(seconds=DEGRADED_S) < clock.now()


def test_a_long_block_is_reported_while_it_lasts_and_once_when_it_ends() -> None:
    clock, count = ManualClock(), Count()
    watch = LoopWatch(clock=clock, observer=count)
    with capture_logs() as lines:
        watch._tick(usage(0.05))
        watch._look(0.05, 0.0, 0)
        for look in range(1, 61):
            watch._look(0.05 + look * 0.05, 0.0, 0)
        watch._tick(usage(3.05))
        watch._tick(usage(3.1))
    assert [line["event"] for line in lines] == ["event_loop_blocked", "event_loop_turns_again"]
    assert lines[0]["blocked_s"] == pytest.approx(2.05)
    assert count.blocks == [pytest.approx(3.0)]
    assert watch.last is not None
    assert watch.last.ended_at == START


def test_a_stopped_process_is_not_a_block() -> None:
    watch = LoopWatch(clock=ManualClock(), observer=Count())
    with capture_logs() as lines:
        watch._tick(usage(0.05))
        watch._look(0.1, 0.0, 0)
        watch._look(60.1, 0.0, 0)  # the watcher comes to look first
        watch._tick(usage(60.1))
        watch._look(60.15, 0.0, 0)
        watch._tick(usage(120.15))  # the loop comes first
    assert lines == []


def test_a_loop_that_is_always_late_is_reported_once_a_second() -> None:
    watch = LoopWatch(clock=ManualClock(), observer=Count())
    with capture_logs() as lines:
        for number in range(1, 21):
            watch._tick(usage(number * 0.25, cpu=number * 0.25))
    assert 4 <= len(lines) <= 5
