"""When an event loop counts as blocked by its own code, and what is told of it."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from stigmer_cli.alarm import NEVER_S, SteadyAlarm
from stigmer_cli.clock import SystemClock
from stigmer_cli.watchdog import DEGRADED_S, SAMPLED_S, LoopWatch, Standstill, Usage, overslept_s, own_s
from tests.support.fakes import START, ManualClock


def usage(now: float, *, cpu: float = 0.0, delay: float = 0.0, process: float | None = None) -> Usage:
    return Usage(now=now, cpu_s=cpu, delay_s=delay, process_cpu_s=cpu if process is None else process)


@pytest.mark.parametrize(
    ("after", "excused_s", "blocked_s"),
    [
        (usage(0.0), 0.0, 0.0),
        (usage(0.3), 0.0, 0.3),  # it slept in a call that blocks
        (usage(0.3, cpu=0.3), 0.0, 0.3),  # it computed
        (usage(0.3, cpu=0.02, delay=0.28), 0.0, 0.02),  # it was ready, and got no processor
        (usage(3.0, cpu=0.7, delay=2.3), 0.0, 0.7),  # it computed on a busy machine
        (usage(60.0), 60.0, 0.0),  # the process was stopped for a minute
        (usage(60.0, cpu=0.4), 60.0, 0.4),
        (usage(0.04, cpu=0.05), 0.0, 0.04),  # more processor time than time, as a coarse clock tells it
    ],
)
def test_a_loop_is_late_by_its_own_fault_only(after: Usage, excused_s: float, blocked_s: float) -> None:
    assert own_s(usage(0.0), after, late_s=after.now, excused_s=excused_s) == pytest.approx(blocked_s)


@pytest.mark.parametrize(
    ("late_s", "cpu_s", "overslept"),
    [
        (0.0, 0.0, 0.0),
        (0.005, 0.0, 0.0),  # a little late, as threads are
        (0.04, 0.0, 0.04),  # stopped for a short time; several such stops in one block add up
        (60.0, 0.0, 60.0),  # stopped
        (1.0, 1.0, 0.0),  # another thread had the interpreter's lock, and computed
        (1.0, 0.25, 0.75),  # it had the lock, and the machine let it compute a quarter of the time
    ],
)
def test_a_watcher_that_overslept_excuses_what_the_process_did_not_use(
    late_s: float, cpu_s: float, overslept: float
) -> None:
    assert overslept_s(late_s, cpu_s) == pytest.approx(overslept)


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


async def test_a_block_is_reported_where_the_system_has_no_alarm_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.watchdog.make_alarm", SteadyAlarm)
    with capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(LoopWatch(clock=SystemClock()).run())
            await asyncio.sleep(0.1)
            hold_the_loop(0.5)
            await asyncio.sleep(0.01)
            watching.cancel()
    (told,) = [line for line in lines if line["event"] == "event_loop_blocked"]
    assert any(str(frame).endswith(" hold_the_loop") for frame in told["stack"]), told


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


class Driven:
    """A watch whose machine, loop and alarm are the test's; `alarm_at` is when the alarm goes off, None: never."""

    def __init__(self, observer: Count | None = None) -> None:
        self.machine = usage(0.0)
        self.alarm_at: float | None = None
        self.watch = LoopWatch(clock=ManualClock(), observer=observer)
        self.watch._usage = lambda: self.machine
        self.watch._alarm = self

    def set(self, after_s: float) -> None:
        self.alarm_at = None if after_s == NEVER_S else self.machine.now + after_s

    def wait(self) -> None:
        raise AssertionError("no thread waits here")

    def close(self) -> None:
        pass

    def work(self, at: Usage, *, timeout_s: float | None = None) -> None:
        self.machine = at
        self.watch._work(at.now, timeout_s)

    def rest(self, at: Usage, *, is_polling: bool = False) -> None:
        self.machine = at
        self.watch._wait(at.now, is_polling=is_polling)

    def look(self, at: Usage) -> None:
        """What the watcher's thread does when it wakes."""
        self.machine, self.alarm_at = at, None
        self.watch._look(at, 0)

    def look_while_due(self, until: float) -> None:
        while self.alarm_at is not None and self.alarm_at <= until:
            self.look(usage(self.alarm_at))


def test_a_loop_that_only_polls_leaves_its_alarm_set_but_not_for_long() -> None:
    driven = Driven()
    driven.watch._gap_s = 1.0
    driven.work(usage(1.0))
    for at in (1.001, 1.002):
        driven.rest(usage(at), is_polling=True)
        assert driven.alarm_at == pytest.approx(1.0 + SAMPLED_S)
        driven.work(usage(at, cpu=0.5), timeout_s=0.0)
    assert driven.watch._before.cpu_s == 0.0, "what the machine gave is measured once"
    driven.rest(usage(1.03), is_polling=True)
    assert driven.alarm_at is None
    driven.work(usage(1.031), timeout_s=0.0)
    driven.rest(usage(1.032))
    assert driven.alarm_at is None


def test_a_block_after_a_poll_is_reported() -> None:
    driven = Driven()
    driven.watch._gap_s = 1.0
    with capture_logs() as lines:
        driven.work(usage(1.0))
        driven.rest(usage(1.001), is_polling=True)
        driven.work(usage(1.002), timeout_s=0.0)
        driven.look_while_due(1.3)
        driven.rest(usage(1.3, cpu=0.3))
    assert [line["event"] for line in lines] == ["event_loop_blocked"]
    assert lines[0]["blocked_s"] == pytest.approx(0.298)


def test_a_long_block_is_reported_while_it_lasts_and_once_when_it_ends() -> None:
    count = Count()
    driven = Driven(count)
    with capture_logs() as lines:
        driven.work(usage(1.0))
        driven.look_while_due(4.0)
        driven.rest(usage(4.0))
        driven.work(usage(4.1))
        driven.rest(usage(4.11))
    assert [line["event"] for line in lines] == ["event_loop_blocked", "event_loop_turns_again"]
    assert lines[0]["blocked_s"] == pytest.approx(2.04)
    assert count.blocks == [pytest.approx(3.0)]
    assert driven.watch.last is not None
    assert driven.watch.last.ended_at == START


@pytest.mark.parametrize("is_watcher_first", [True, False])
def test_a_stopped_process_is_not_a_block(is_watcher_first: bool) -> None:  # noqa: FBT001
    driven = Driven(Count())
    with capture_logs() as lines:
        driven.work(usage(1.0))
        if is_watcher_first:
            driven.look(usage(61.0))
        driven.rest(usage(61.0))
        driven.work(usage(120.0), timeout_s=1.0)  # it was stopped while it waited, too
        driven.rest(usage(120.01))
    assert lines == []
    assert driven.watch.last is None


def test_a_wait_that_another_thread_of_the_process_prolonged_is_reported() -> None:
    driven = Driven()
    with capture_logs() as lines:
        driven.work(usage(1.0))
        driven.rest(usage(1.001))
        driven.work(usage(1.351, process=0.34), timeout_s=0.05)
        driven.rest(usage(1.352, process=0.34))
        driven.work(usage(3.0, process=0.74), timeout_s=1.0)  # or that was stopped meanwhile: nobody can tell
    assert [line["blocked_s"] for line in lines] == [pytest.approx(0.29)]


def test_a_loop_wakes_often_while_another_thread_computes() -> None:
    wakes: list[float] = []
    driven = Driven()
    driven.watch._wake_after = wakes.append
    for number in range(1, 5):
        driven.work(usage(number, process=0.01 * number))
        driven.rest(usage(number + 0.001, process=0.01 * number))
    assert wakes == []
    driven.work(usage(5.0, process=0.5))
    assert wakes == [0.05]


def test_a_loop_that_is_always_late_is_reported_once_a_second() -> None:
    driven = Driven()
    with capture_logs() as lines:
        for number in range(1, 21):
            driven.work(usage(number * 0.25, cpu=number * 0.25))
            driven.rest(usage(number * 0.25 + 0.2, cpu=number * 0.25 + 0.2))
    assert 4 <= len(lines) <= 5


def test_the_watcher_of_an_idle_loop_is_never_woken_and_that_of_a_busy_one_now_and_then() -> None:
    driven = Driven()
    for number in range(1, 101):
        driven.work(usage(number * 0.1))
        assert driven.alarm_at == pytest.approx(number * 0.1 + SAMPLED_S)
        driven.rest(usage(number * 0.1 + 0.001))
        assert driven.alarm_at is None, "it would wake a thread for nothing"
    looks = 0
    for number in range(1, 1001):
        now = 20 + number * 0.001
        driven.work(usage(now))
        if driven.alarm_at is not None and driven.alarm_at <= now:
            driven.look(usage(now))
            looks += 1
        driven.rest(usage(now + 0.0005))
    assert 10 <= looks <= 30


async def test_a_loop_is_as_it_was_after_it_was_watched() -> None:
    before = threading.active_count()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(LoopWatch(clock=SystemClock()).run())
        await asyncio.sleep(0.01)
        assert threading.active_count() == before + 1
        watching.cancel()
    assert threading.active_count() == before
    with capture_logs() as lines:
        hold_the_loop(0.15)
        await asyncio.sleep(0.01)
    assert lines == []
