"""The connection against a Temporal whose weather changes, in virtual time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import iso
from stigmer_cli.temporal.connection import MEMORY_LOST, Change, Connection, Target
from stigmer_cli.temporal.errors import Misconfigured, TemporalUnavailable
from stigmer_cli.temporal.journal import HISTORY_MAX, LINES_MAX, WINDOW_S
from stigmer_cli.temporal.state import TRANSITIONS, ClusterIdentity
from tests.support.fakes_temporal import LoopClock, ScriptedDialer, Weather, in_virtual_time

S = ConnectionState
NEAR, FAR = "127.0.0.1:7233", "temporal.example:7233"


class Count:
    """An observer."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.probes: list[bool] = []
        self.dials: list[bool] = []

    def changed(self, change: Change) -> None:
        self.changes.append(change)

    def probed(self, *, ok: bool, latency_s: float) -> None:
        assert latency_s >= 0
        self.probes.append(ok)

    def dialled(self, *, ok: bool) -> None:
        self.dials.append(ok)


class Scene:
    """A connection that runs, its Temporal, and its observer."""

    def __init__(self, address: str, weather: Weather) -> None:
        self.dialer = ScriptedDialer(weather=weather)
        self.count = Count()
        self.clock = LoopClock()
        self.connection = Connection(
            Target(address=address),
            clock=self.clock,
            rng=random.Random(7),
            identity="test",
            observer=self.count,
            dialer=self.dialer,
        )

    @property
    def state(self) -> ConnectionState:
        return self.connection.status().state

    def path(self) -> list[str]:
        return [str(change.after) for change in self.count.changes]


def play(story: Callable[[Scene], Awaitable[None]], *, address: str = NEAR, weather: Weather = Weather.FINE) -> Scene:
    async def main() -> Scene:
        scene = Scene(address, weather)
        async with asyncio.TaskGroup() as group:
            owner = group.create_task(scene.connection.run())
            await story(scene)
            owner.cancel()
        return scene

    return in_virtual_time(main())


def test_it_connects_tells_the_identity_and_ends_stopped() -> None:
    async def story(scene: Scene) -> None:
        assert scene.state is S.CONNECTING
        with pytest.raises(TemporalUnavailable, match=r"is CONNECTING since .* \(not dialled yet\)"):
            scene.connection.client()
        await scene.connection.wait_connected()
        status = scene.connection.status()
        assert (status.cause, status.attempt, status.next_try_at, status.reconnects) == ("", 0, None, 0)
        assert (status.cluster_id, status.namespace_id) == ("cluster-1", "namespace-1")
        scene.connection.client()

    scene = play(story)
    assert scene.path() == ["CONNECTED", "STOPPED"]
    assert scene.state is S.STOPPED
    with pytest.raises(TemporalUnavailable, match="is STOPPED"):
        scene.connection.client()


def test_temporal_that_comes_late_is_dialled_within_a_second_after_it_came() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(30)
        assert (scene.state, scene.connection.status().cause) == (S.DISCONNECTED, "connection refused")
        assert scene.connection.status().attempt == scene.dialer.dials
        assert scene.connection.status().next_try_at is not None
        # Full jitter up to 2 s: one dial a second on average. What opens is noticed by knocking.
        assert 25 < scene.dialer.dials < 45
        scene.dialer.weather = Weather.FINE
        async with asyncio.timeout(0.2):
            await scene.connection.wait_connected()

    scene = play(story, weather=Weather.REFUSED)
    assert scene.path() == ["DISCONNECTED", "CONNECTED", "STOPPED"]


def test_a_port_that_opens_and_refuses_all_the_same_is_not_dialled_in_a_circle() -> None:
    async def story(scene: Scene) -> None:
        scene.dialer.is_ajar = True
        await asyncio.sleep(30)
        assert 50 < scene.dialer.dials < 240

    play(story, weather=Weather.REFUSED)


def test_elsewhere_the_waits_grow_to_thirty_seconds() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(600)
        assert 25 < scene.dialer.dials < 80

    play(story, address=FAR, weather=Weather.REFUSED)


def test_a_frozen_temporal_is_suspect_within_two_seconds_and_lost_within_three() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_connected()
        scene.dialer.weather = Weather.FROZEN
        await asyncio.sleep(2.01)
        assert scene.state is S.SUSPECT
        scene.connection.client()
        assert scene.connection.status().cause == "not answering (deadline 1s)"
        await asyncio.sleep(1.0)
        assert scene.path()[-1] == "DISCONNECTED"
        with pytest.raises(TemporalUnavailable):
            scene.connection.client()

    play(story)


def test_one_broken_connection_is_no_loss_and_no_new_generation() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_connected()
        scene.dialer.weather = Weather.BROKEN_ONCE
        await asyncio.sleep(3)
        assert scene.connection.generation == 1

    scene = play(story)
    assert scene.path() == ["CONNECTED", "SUSPECT", "CONNECTED", "STOPPED"]
    assert scene.dialer.dials == 1


def test_a_failed_call_is_probed_at_once_and_a_refused_probe_is_the_end() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_connected()
        await asyncio.sleep(0.2)
        scene.dialer.weather = Weather.REFUSED
        scene.connection.report_failure("connection refused")
        await asyncio.sleep(0.01)
        assert scene.state is S.DISCONNECTED

    assert play(story).path() == ["CONNECTED", "DISCONNECTED", "STOPPED"]


def test_a_thousand_failed_calls_make_ten_probes_a_second() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_connected()
        for _ in range(1000):
            scene.connection.report_failure("connection refused")
            await asyncio.sleep(0.001)
        assert scene.dialer.probes <= 12

    play(story)


def test_a_missing_namespace_is_misconfigured_tried_slowly_and_noticed_when_it_comes() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20.5)
        assert scene.state is S.MISCONFIGURED
        assert scene.connection.status().cause == 'namespace "default" not found'
        with pytest.raises(Misconfigured):
            scene.connection.client()
        assert scene.dialer.dials == 11
        scene.dialer.weather = Weather.FINE
        async with asyncio.timeout(2.1):
            await scene.connection.wait_connected()

    scene = play(story, weather=Weather.NO_NAMESPACE)
    assert scene.path() == ["MISCONFIGURED", "CONNECTED", "STOPPED"]


def test_refused_credentials_elsewhere_are_tried_twice_a_minute() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(301)
        assert (scene.state, scene.connection.status().cause) == (S.MISCONFIGURED, "permission denied")
        assert scene.dialer.dials == 11

    play(story, address=FAR, weather=Weather.DENIED)


def test_a_namespace_that_is_deleted_while_connected_is_misconfigured_at_the_next_probe() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_connected()
        scene.dialer.weather = Weather.NO_NAMESPACE
        await asyncio.sleep(1.1)
        assert scene.state is S.MISCONFIGURED

    play(story)


def test_temporal_that_describes_but_does_not_serve_is_never_connected() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        assert scene.connection.status().cause == "Temporal is up but not serving yet"

    assert play(story, weather=Weather.NOT_SERVING).path() == ["DISCONNECTED", "STOPPED"]


def test_being_throttled_is_being_answered() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_connected()
        scene.dialer.weather = Weather.THROTTLED
        await asyncio.sleep(20)

    assert play(story).path() == ["CONNECTED", "STOPPED"]


def test_another_temporal_behind_the_address_is_said_and_counted() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_connected()
        scene.dialer.cluster = ClusterIdentity(cluster_id="cluster-2", namespace_id="namespace-2")
        await asyncio.sleep(2)
        status = scene.connection.status()
        assert (status.state, status.cluster_changes, status.reconnects) == (S.CONNECTED, 1, 1)
        assert status.cluster_id == "cluster-2"
        assert status.history[-1].cause == MEMORY_LOST

    assert play(story).path() == ["CONNECTED", "DISCONNECTED", "CONNECTED", "STOPPED"]


def test_whoever_waits_for_a_generation_is_woken_once_per_client() -> None:
    async def story(scene: Scene) -> None:
        assert await scene.connection.wait_generation(0) == 1
        scene.dialer.weather = Weather.REFUSED
        await scene.connection.wait_changed(scene.connection.changes)
        scene.dialer.weather = Weather.FINE
        assert await scene.connection.wait_generation(1) == 2

    play(story)


def test_flapping_keeps_a_bounded_history_and_does_not_flood_the_log() -> None:
    async def story(scene: Scene) -> None:
        for _ in range(150):
            scene.dialer.weather = Weather.REFUSED
            await asyncio.sleep(1)
            scene.dialer.weather = Weather.FINE
            await asyncio.sleep(1)
        assert len(scene.connection.status().history) == HISTORY_MAX

    with capture_logs() as lines:
        scene = play(story)
    changes = [line for line in lines if line["event"] == "temporal_connection_changed"]
    assert len(scene.count.changes) > 150
    assert len(changes) <= LINES_MAX * 6
    left_out = sum(line.get("left_out", 0) for line in changes)
    assert left_out + len(changes) <= len(scene.count.changes)
    assert left_out > 0


def test_the_state_in_which_flapping_ends_is_written_once_there_is_room() -> None:
    async def story(scene: Scene) -> None:
        for weather in (Weather.REFUSED, Weather.FINE) * LINES_MAX:
            scene.dialer.weather = weather
            await asyncio.sleep(1)
        scene.dialer.weather = Weather.REFUSED
        await asyncio.sleep(2 * WINDOW_S)

    with capture_logs() as lines:
        scene = play(story)
    changes = [line for line in lines if line["event"] == "temporal_connection_changed"]
    last = scene.connection.status().history[-2]
    assert changes[-2]["to"] == "DISCONNECTED"
    assert changes[-2]["happened_at"] == iso(last.at)
    assert changes[-1]["to"] == "STOPPED"
    assert len(changes) + sum(line.get("left_out", 0) for line in changes) == len(scene.count.changes)


def test_a_move_is_one_line_with_everything_in_it() -> None:
    async def story(scene: Scene) -> None:
        await scene.connection.wait_changed(0)

    with capture_logs() as lines:
        play(story, weather=Weather.REFUSED)
    assert {key: value for key, value in lines[0].items() if key != "next_try_at"} == {
        "event": "temporal_connection_changed",
        "log_level": "warning",
        "from": "CONNECTING",
        "to": "DISCONNECTED",
        "cause": "connection refused",
        "address": NEAR,
        "namespace": "default",
        "attempt": 1,
    }
    assert lines[0]["next_try_at"].startswith("2026-05-04T12:00:00.")


@pytest.mark.parametrize("seed", range(20))
def test_in_any_weather_every_move_is_legal_and_fine_weather_connects(seed: int) -> None:
    async def story(scene: Scene) -> None:
        rng = random.Random(seed)
        for _ in range(200):
            scene.dialer.weather = rng.choice(list(Weather))
            if rng.random() < 0.3:
                scene.connection.report_failure("x")
            await asyncio.sleep(rng.uniform(0, 3))
        scene.dialer.weather = Weather.FINE
        await asyncio.sleep(5.5)
        assert scene.state is S.CONNECTED

    scene = play(story)
    for change in scene.count.changes:
        assert change.after in TRANSITIONS[change.before]
    assert [c.after for c in scene.count.changes[:-1]] == [c.before for c in scene.count.changes[1:]]


def test_whoever_hurries_it_need_not_wait_for_the_next_dial_or_probe() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        assert scene.state is S.MISCONFIGURED
        scene.dialer.weather = Weather.FINE
        scene.connection.hurry()
        async with asyncio.timeout(1.1):
            await scene.connection.wait_connected()
        probes = len(scene.count.probes)
        await asyncio.sleep(1)
        scene.connection.hurry()
        await asyncio.sleep(1)
        assert len(scene.count.probes) == probes + 1

    play(story, address=FAR, weather=Weather.NO_NAMESPACE)


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
def test_since_when_and_until_when_are_told_by_the_clock_as_it_is_set_now(by_s: float) -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(40)
        before = scene.connection.status()
        assert before.now is not None
        assert before.next_try_at is not None
        assert before.since < before.now < before.next_try_at
        scene.clock.ahead_s = by_s
        after = scene.connection.status()
        assert after.next_try_at is not None
        for moment, then in ((after.since, before.since), (after.next_try_at, before.next_try_at)):
            assert abs(moment - then - timedelta(seconds=by_s)) < timedelta(milliseconds=1)

    play(story, address=FAR, weather=Weather.NO_NAMESPACE)
