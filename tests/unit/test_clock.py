"""Wall and monotonic time move independently here, as they do where a clock is set and where a machine sleeps."""

from datetime import datetime, timedelta

import pytest

from stigmer_cli.clock import ClockWatch, Jump, SystemClock, ahead_s, is_older, until_next_s
from tests.support.fakes import START, ManualClock


class Watched:
    """A watch, and the jumps that it told."""

    def __init__(self, clock: ManualClock) -> None:
        self.told: list[Jump] = []
        self.clock = clock
        self.watch = ClockWatch(clock, jumped=self.told.append)

    async def step(self, by_s: float) -> list[dict[str, object]]:
        """Set the clock, let a second go by, and look: what a log would say."""
        self.clock.set(by_s)
        await self.clock.advance(1.0)
        self.watch.run_once()
        return [jump.facts() for jump in self.told]


@pytest.mark.parametrize(
    ("by_s", "facts"),
    [
        (3600, {"clock_set_s": 3600, "direction": "forward"}),
        (-300, {"clock_set_s": -300, "direction": "back"}),
        (2.5, {"clock_set_s": 2.5, "direction": "forward"}),
    ],
)
async def test_a_clock_step_is_reported_once_with_its_size_and_direction(by_s: float, facts: dict[str, object]) -> None:
    watched = Watched(ManualClock())
    assert await watched.step(by_s) == [facts]
    assert await watched.step(0) == [facts]
    assert watched.watch.last == watched.told[0]
    assert watched.told[0].at == START + timedelta(seconds=by_s + 1)


async def test_a_clock_that_is_slewed_does_not_jump() -> None:
    watched = Watched(ManualClock())
    for _ in range(20):
        assert await watched.step(0.5) == []


async def test_a_machine_that_slept_says_so_and_its_clock_was_not_set() -> None:
    watched = Watched(ManualClock())
    watched.clock.suspend(8 * 3600)
    assert await watched.step(0) == [{"slept_s": 28800}]
    assert not watched.told[0].is_set


async def test_a_process_that_stood_still_has_not_jumped() -> None:
    watched = Watched(ManualClock())
    await watched.clock.advance(600)
    assert await watched.step(0) == []


class StoppedBetween(ManualClock):
    """A process that is stopped for an hour after it has read the monotonic clock, and before it reads the other."""

    is_stopped = False

    def now(self) -> datetime:
        if self.is_stopped:
            self._monotonic += 3600
            self._now += timedelta(hours=1)
        return super().now()


async def test_clocks_that_were_read_at_different_moments_are_not_compared() -> None:
    clock = StoppedBetween()
    watched = Watched(clock)
    clock.is_stopped = True
    assert await watched.step(0) == []
    clock.is_stopped = False
    assert await watched.step(0) == []
    assert await watched.step(60) == [{"clock_set_s": 60, "direction": "forward"}]


def test_the_machines_own_clocks_agree_about_a_moment() -> None:
    told: list[Jump] = []
    watch = ClockWatch(SystemClock(), jumped=told.append)
    assert watch.run_once() is None
    assert told == []


@pytest.mark.parametrize(
    ("ago_s", "is_old"), [(11, True), (9, False), (0, False), (-1, False), (-3, True), (-3600, True)]
)
def test_what_lies_further_ahead_than_two_good_clocks_differ_is_old(ago_s: float, *, is_old: bool) -> None:
    assert is_older(START - timedelta(seconds=ago_s), START, than_s=10) is is_old


@pytest.mark.parametrize(
    ("theirs_s", "expected_s"), [(0, 0), (3, 0), (5, 0), (6, 3.5), (3602.5, 3600), (-1, -3.5), (-297.5, -300)]
)
def test_what_a_slow_answer_cannot_tell_is_no_difference(theirs_s: float, expected_s: float) -> None:
    def at(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    assert ahead_s(at(theirs_s), asked_at=at(0), answered_at=at(5)) == expected_s


async def test_loops_of_one_period_wake_together_whenever_they_began() -> None:
    clock = ManualClock()
    assert until_next_s(1.25, clock) == 1.25
    await clock.advance(0.5)
    assert (until_next_s(1.25, clock), until_next_s(1.0, clock)) == (0.75, 0.5)
    await clock.advance(0.75)
    assert until_next_s(1.25, clock) == 1.25
