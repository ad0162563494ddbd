"""Who polls, whatever the clocks of Temporal and of this server say: only a change of Temporal's moments counts."""

from datetime import datetime, timedelta

from stigmer_cli.api.identity import RunnerLoad
from stigmer_cli.executions.pollers import SEEKS_MAX, PollerWatch
from stigmer_cli.temporal.gateway import Poller
from tests.support.fakes import START, ManualClock, SwitchedLink
from tests.support.fakes_temporal import InMemoryGateway

DEAD, LIVING = "stigmer-runner/1@box", "stigmer-runner/2@other"


class PollerHarness:
    """A watch on a Temporal whose clock is a quarter of a year behind the server's."""

    def __init__(self, *, is_only_server: bool = False) -> None:
        self.clock = ManualClock()
        self.gateway = InMemoryGateway(clock=self.clock)
        self.watch = PollerWatch(self.gateway, SwitchedLink(), clock=self.clock, is_only_server=is_only_server)
        self.temporals_now = START - timedelta(days=90)

    async def look(self, **polled_at: datetime) -> dict[str, float]:
        """For how long each has been silent."""
        self.gateway.live = [Poller(identity=name, last_access_at=at) for name, at in polled_at.items()]
        await self.watch.run_once()
        return {poller.identity: poller.silent_s for poller in self.watch.polling.pollers}


async def test_at_the_first_look_moments_of_temporal_are_compared_with_each_other_only() -> None:
    harness = PollerHarness()
    at = harness.temporals_now
    assert await harness.look(new=at, old=at - timedelta(seconds=200)) == {"new": 0, "old": 200}
    assert [poller.identity for poller in harness.watch.polling.live] == ["new"]


async def test_the_runners_are_full_while_all_of_them_say_so() -> None:
    harness = PollerHarness()

    async def look(*busy: int) -> str:
        for number, taken in enumerate(busy):
            harness.watch.record_load(RunnerLoad(runner=f"r{number}", busy=taken, slots=50))
        await harness.look()
        return harness.watch.polling.full

    assert await look(50) == "all 50 slots of the runner are busy"
    assert await look(50, 49) == ""
    assert await look(50, 50) == "all 100 slots of 2 runners are busy"
    await harness.clock.advance(6)
    assert await look() == "", "what a runner said long ago does not count"


async def test_a_runner_has_just_polled_when_its_moment_changed() -> None:
    harness = PollerHarness()
    at = harness.temporals_now
    await harness.look(one=at, two=at)
    await harness.clock.advance(60)
    assert await harness.look(one=at + timedelta(seconds=57), two=at) == {"one": 0, "two": 60}
    await harness.clock.advance(20)
    assert await harness.look(one=at + timedelta(seconds=57), two=at) == {"one": 20, "two": 80}
    assert [poller.identity for poller in harness.watch.polling.live] == ["one"]
    assert not harness.watch.polling.is_empty


async def test_a_runner_that_reports_no_more_does_not_poll_though_temporal_shows_its_last_poll() -> None:
    harness = PollerHarness(is_only_server=True)
    names = {f"{name}/1-a0/0.2.0": harness.temporals_now for name in (DEAD, LIVING, "stigmer-runner/3@old")}

    async def live() -> list[str]:
        await harness.look(**names)
        return [poller.identity.split("@")[1].split("/")[0] for poller in harness.watch.polling.live]

    for name in (DEAD, LIVING):
        harness.watch.record_load(RunnerLoad(runner=name, busy=0, slots=50))
    assert await live() == ["box", "other", "old"]
    for _ in range(11):
        await harness.clock.advance(1)
        harness.watch.record_load(RunnerLoad(runner=LIVING, busy=0, slots=50))
        await live()
    assert await live() == ["other", "old"], "who never reported is an older runner"
    harness.watch.record_load(RunnerLoad(runner=DEAD, busy=0, slots=50))
    assert await live() == ["box", "other", "old"]


async def test_a_server_that_was_held_up_or_is_not_the_only_one_takes_no_runner_for_gone() -> None:
    for is_only_server, steps in ((True, [60.0]), (False, [1.0] * 20)):
        harness = PollerHarness(is_only_server=is_only_server)
        harness.watch.record_load(RunnerLoad(runner=DEAD, busy=0, slots=50))
        await harness.look()
        for step in steps:
            await harness.clock.advance(step)
            await harness.look(**{f"{DEAD}/1-a0/0.2.0": harness.temporals_now})
        assert len(harness.watch.polling.live) == 1


async def test_a_step_of_the_servers_clock_makes_nobody_silent_and_nobody_live() -> None:
    harness = PollerHarness()
    at = harness.temporals_now
    await harness.look(live=at, silent=at - timedelta(seconds=100))
    for by_s in (3600, -7200, 300):
        harness.clock.set(by_s)
        assert await harness.look(live=at, silent=at - timedelta(seconds=100)) == {"live": 0, "silent": 100}


async def test_a_step_of_temporals_clock_makes_nobody_silent() -> None:
    harness = PollerHarness()
    at = harness.temporals_now
    await harness.look(one=at)
    await harness.clock.advance(4)
    assert await harness.look(one=at - timedelta(hours=1)) == {"one": 0}


async def test_temporals_time_is_estimated_from_what_changes_between_two_polls() -> None:
    harness = PollerHarness()
    at = harness.temporals_now
    await harness.look(one=at)
    assert harness.watch.estimate_temporal_now() is None, "it may have polled long ago"
    await harness.clock.advance(60)
    await harness.look(one=at + timedelta(seconds=50))
    assert harness.watch.estimate_temporal_now() is None, "it may have polled ten seconds ago"
    await harness.clock.advance(0.5)
    await harness.look(one=at + timedelta(seconds=60.5))
    harness.clock.set(3600)
    await harness.clock.advance(30)
    await harness.look(one=at + timedelta(seconds=60.5))
    assert harness.watch.estimate_temporal_now() == at + timedelta(seconds=90.5)


async def test_a_runner_that_appears_has_just_polled() -> None:
    harness = PollerHarness()
    at = harness.temporals_now
    await harness.look()
    assert harness.watch.polling.is_empty
    assert await harness.look(one=at) == {"one": 0}
    assert not harness.watch.polling.is_empty


async def test_a_runner_that_is_starting_is_looked_for_often_and_temporal_is_left_alone_where_none_comes() -> None:
    harness = PollerHarness()
    at = harness.temporals_now
    await harness.look()
    pauses = [harness.watch._pause_s() for _ in range(SEEKS_MAX + 5)]
    assert pauses[0] == 0.04
    assert pauses[-5:] == [0.5] * 5
    await harness.look(one=at)
    assert harness.watch._pause_s() == 2.0
    await harness.look(one=at - timedelta(seconds=100))
    await harness.look()
    assert harness.watch._pause_s() == 0.04, "the next one is looked for, too"


async def test_looks_are_slower_only_while_every_runner_that_reports_goes_on_reporting_and_is_seen_and_idle() -> None:
    harness = PollerHarness()
    at = harness.temporals_now

    async def pause(busy: int, **polled_at: datetime) -> float:
        harness.watch.record_load(RunnerLoad(runner="one", busy=busy, slots=50))
        await harness.look(**{f"{name}/1-ab/1.0": moment for name, moment in polled_at.items()})
        return harness.watch._pause_s()

    assert await pause(0, one=at) == 2.0
    assert await pause(1, one=at) == 0.5
    assert await pause(0, other=at) == 0.5, "a runner that reports and is not seen is starting"
    assert await pause(0, one=at, other=at) == 2.0
    await harness.clock.advance(2.5)
    assert harness.watch._pause_s() == 0.5, "it has just gone silent"
    await harness.clock.advance(5.5)
    assert harness.watch._pause_s() == 2.0, "it has been gone for long"
