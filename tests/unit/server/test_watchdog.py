"""When an event loop counts as standing still, and what is told of it afterwards."""

from datetime import timedelta

import pytest

from stigmer_cli.server.watchdog import DEGRADED_S, LoopWatch, Standstill, Stillness
from tests.fakes import START, ManualClock


@pytest.mark.parametrize(
    ("looks", "still_s"),
    [
        ([(0.5, 0.25)], 0.25),
        ([(0.5, 0.25), (1.0, 0.25), (1.5, 0.25)], 1.25),
        ([(0.9, 0.25), (1.8, 0.25)], 1.55),  # the watcher is a little late itself
        ([(0.5, 0.25), (61.0, 0.25)], 0.75),  # the process was stopped for a minute, and the watcher with it
        ([(0.5, 0.25), (61.0, 0.25), (61.5, 0.25), (62.0, 0.25)], 1.75),  # and then the loop did not go on
        ([(0.5, 0.25), (61.0, 0.25), (61.5, 61.2), (62.5, 61.2)], 1.3),  # it went on, and stood still anew
    ],
)
def test_a_loop_stands_still_by_its_own_fault_only(looks: list[tuple[float, float]], still_s: float) -> None:
    stillness = Stillness(now=0.0)
    found = [stillness.seconds(now=now, ticked_at=ticked_at) for now, ticked_at in looks]
    assert found[-1] == pytest.approx(still_s)


class Count:
    def __init__(self) -> None:
        self.blocks: list[float] = []

    def loop_blocked(self, seconds: float) -> None:
        self.blocks.append(seconds)


async def test_health_tells_of_a_standstill_for_a_while_and_then_no_more() -> None:
    clock = ManualClock()
    watch = LoopWatch(clock=clock, observer=Count())
    assert watch.complaint == ""
    watch.last = Standstill(seconds=5.04, ended_at=START)
    assert watch.complaint == (
        "the server stood still for 5.0 s until 2026-05-04T12:00:00.000Z; see `stigmer logs server`"
    )
    await clock.advance(DEGRADED_S)
    assert watch.complaint
    await clock.advance(0.1)
    assert watch.complaint == ""
    assert watch.last.ended_at + timedelta(seconds=DEGRADED_S) < clock.now()


async def test_a_tick_closes_what_was_told_and_an_ordinary_one_counts_nothing() -> None:
    clock, count = ManualClock(), Count()
    watch = LoopWatch(clock=clock, observer=count)
    await clock.advance(0.25)
    watch._tick()
    await clock.advance(5)
    watch._told = True
    watch._tick()
    watch._tick()
    assert count.blocks == [5]
    assert watch.last == Standstill(seconds=5, ended_at=START + timedelta(seconds=5.25))
