"""The connection against a Temporal whose condition changes, in virtual time."""

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
from tests.support.fakes_temporal import Condition, LoopClock, ScriptedDialer, in_virtual_time

S = ConnectionState
NEAR, FAR = "127.0.0.1:7233", "temporal.example:7233"


class Count:
    """An observer."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.probes: list[bool] = []
        self.dials: list[bool] = []

    def record_change(self, change: Change) -> None:
        self.changes.append(change)

    def record_probe(self, *, ok: bool, latency_s: float) -> None:
        assert latency_s >= 0
        self.probes.append(ok)

    def record_dial(self, *, ok: bool) -> None:
        self.dials.append(ok)


class ConnectionHarness:
    """A connection that runs, its Temporal, and its observer."""

    def __init__(self, address: str, condition: Condition) -> None:
        self.dialer = ScriptedDialer(condition=condition)
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


def run_scenario(
    scenario: Callable[[ConnectionHarness], Awaitable[None]],
    *,
    address: str = NEAR,
    condition: Condition = Condition.HEALTHY,
) -> ConnectionHarness:
    async def main() -> ConnectionHarness:
        harness = ConnectionHarness(address, condition)
        async with asyncio.TaskGroup() as group:
            owner = group.create_task(harness.connection.run())
            await scenario(harness)
            owner.cancel()
        return harness

    return in_virtual_time(main())


def test_it_connects_tells_the_identity_and_ends_stopped() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        assert harness.state is S.CONNECTING
        with pytest.raises(TemporalUnavailable, match=r"is CONNECTING since .* \(not dialled yet\)"):
            harness.connection.client()
        await harness.connection.wait_connected()
        status = harness.connection.status()
        assert (status.cause, status.attempt, status.next_try_at, status.reconnects) == ("", 0, None, 0)
        assert (status.cluster_id, status.namespace_id) == ("cluster-1", "namespace-1")
        harness.connection.client()

    harness = run_scenario(scenario)
    assert harness.path() == ["CONNECTED", "STOPPED"]
    assert harness.state is S.STOPPED
    with pytest.raises(TemporalUnavailable, match="is STOPPED"):
        harness.connection.client()


def test_temporal_that_comes_late_is_dialled_within_a_second_after_it_came() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await asyncio.sleep(30)
        assert (harness.state, harness.connection.status().cause) == (S.DISCONNECTED, "connection refused")
        assert harness.connection.status().attempt == harness.dialer.dials
        assert harness.connection.status().next_try_at is not None
        # Full jitter up to 2 s: one dial a second on average. What opens is noticed by knocking.
        assert 25 < harness.dialer.dials < 45
        harness.dialer.condition = Condition.HEALTHY
        async with asyncio.timeout(0.2):
            await harness.connection.wait_connected()

    harness = run_scenario(scenario, condition=Condition.REFUSED)
    assert harness.path() == ["DISCONNECTED", "CONNECTED", "STOPPED"]


def test_a_port_that_opens_and_refuses_all_the_same_is_not_dialled_in_a_circle() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        harness.dialer.accepts_connections = True
        await asyncio.sleep(30)
        assert 50 < harness.dialer.dials < 240

    run_scenario(scenario, condition=Condition.REFUSED)


def test_elsewhere_the_waits_grow_to_thirty_seconds() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await asyncio.sleep(600)
        assert 25 < harness.dialer.dials < 80

    run_scenario(scenario, address=FAR, condition=Condition.REFUSED)


def test_a_frozen_temporal_is_suspect_within_three_seconds_and_lost_within_four() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        harness.dialer.condition = Condition.FROZEN
        await asyncio.sleep(3.01)
        assert harness.state is S.SUSPECT
        harness.connection.client()
        assert harness.connection.status().cause == "not answering (deadline 1s)"
        await asyncio.sleep(1.0)
        assert harness.path()[-1] == "DISCONNECTED"
        with pytest.raises(TemporalUnavailable):
            harness.connection.client()

    run_scenario(scenario)


def test_one_broken_connection_is_no_loss_and_no_new_generation() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        harness.dialer.condition = Condition.BROKEN_ONCE
        await asyncio.sleep(4)
        assert harness.connection.generation == 1

    harness = run_scenario(scenario)
    assert harness.path() == ["CONNECTED", "SUSPECT", "CONNECTED", "STOPPED"]
    assert harness.dialer.dials == 1


def test_a_failed_call_is_probed_at_once_and_a_refused_probe_is_the_end() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        await asyncio.sleep(0.2)
        harness.dialer.condition = Condition.REFUSED
        harness.connection.report_failure("connection refused")
        await asyncio.sleep(0.01)
        assert harness.state is S.DISCONNECTED

    assert run_scenario(scenario).path() == ["CONNECTED", "DISCONNECTED", "STOPPED"]


def test_the_end_of_the_line_is_probed_at_once() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        await asyncio.sleep(0.2)
        harness.dialer.condition = Condition.REFUSED
        harness.dialer.lines[-1].close()
        await asyncio.sleep(0.01)
        assert harness.state is S.DISCONNECTED

    run_scenario(scenario)


def test_a_line_that_ended_for_no_reason_is_no_loss_and_another_is_opened() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        await asyncio.sleep(120)
        harness.dialer.lines[-1].close()
        await asyncio.sleep(5)
        assert not harness.dialer.lines[-1].is_closing()

    harness = run_scenario(scenario)
    assert harness.path() == ["CONNECTED", "STOPPED"]
    assert len(harness.dialer.lines) == 2
    assert harness.dialer.lines[-1].is_closing(), "left open by a connection that has stopped"


def test_a_lost_connection_leaves_no_line() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        await asyncio.sleep(0.2)
        harness.dialer.condition = Condition.FROZEN
        await asyncio.sleep(10)
        assert all(line.is_closing() for line in harness.dialer.lines)

    run_scenario(scenario)


def test_what_ends_each_line_at_once_costs_two_probes_for_one() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        probes = harness.dialer.probes
        for _ in range(1000):
            await asyncio.sleep(0.02)
            harness.dialer.lines[-1].close()
        assert harness.dialer.probes - probes <= 2 * 20 / harness.connection.pace.probe_every_s + 2

    run_scenario(scenario)


def test_elsewhere_no_line_is_kept() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        await asyncio.sleep(20)

    assert not run_scenario(scenario, address=FAR).dialer.lines


def test_a_thousand_failed_calls_make_ten_probes_a_second() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        for _ in range(1000):
            harness.connection.report_failure("connection refused")
            await asyncio.sleep(0.001)
        assert harness.dialer.probes <= 12

    run_scenario(scenario)


def test_a_missing_namespace_is_misconfigured_tried_slowly_and_noticed_when_it_comes() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await asyncio.sleep(20.5)
        assert harness.state is S.MISCONFIGURED
        assert harness.connection.status().cause == 'namespace "default" not found'
        with pytest.raises(Misconfigured):
            harness.connection.client()
        assert harness.dialer.dials == 11
        harness.dialer.condition = Condition.HEALTHY
        async with asyncio.timeout(2.1):
            await harness.connection.wait_connected()

    harness = run_scenario(scenario, condition=Condition.NO_NAMESPACE)
    assert harness.path() == ["MISCONFIGURED", "CONNECTED", "STOPPED"]


def test_refused_credentials_elsewhere_are_tried_twice_a_minute() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await asyncio.sleep(301)
        assert (harness.state, harness.connection.status().cause) == (S.MISCONFIGURED, "permission denied")
        assert harness.dialer.dials == 11

    run_scenario(scenario, address=FAR, condition=Condition.DENIED)


def test_a_namespace_that_is_deleted_while_connected_is_misconfigured_at_the_next_probe() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        harness.dialer.condition = Condition.NO_NAMESPACE
        await asyncio.sleep(2.1)
        assert harness.state is S.MISCONFIGURED

    run_scenario(scenario)


def test_temporal_that_describes_but_does_not_serve_is_never_connected() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await asyncio.sleep(10)
        assert harness.connection.status().cause == "Temporal is up but not serving yet"

    assert run_scenario(scenario, condition=Condition.NOT_SERVING).path() == ["DISCONNECTED", "STOPPED"]


def test_being_throttled_is_being_answered() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        harness.dialer.condition = Condition.THROTTLED
        await asyncio.sleep(20)

    assert run_scenario(scenario).path() == ["CONNECTED", "STOPPED"]


def test_another_temporal_behind_the_address_is_said_and_counted() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_connected()
        harness.dialer.cluster = ClusterIdentity(cluster_id="cluster-2", namespace_id="namespace-2")
        await asyncio.sleep(3)
        status = harness.connection.status()
        assert (status.state, status.cluster_changes, status.reconnects) == (S.CONNECTED, 1, 1)
        assert status.cluster_id == "cluster-2"
        assert status.history[-1].cause == MEMORY_LOST

    assert run_scenario(scenario).path() == ["CONNECTED", "DISCONNECTED", "CONNECTED", "STOPPED"]


def test_a_wait_for_a_generation_ends_once_per_client() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        assert await harness.connection.wait_generation(0) == 1
        harness.dialer.condition = Condition.REFUSED
        await harness.connection.wait_changed(harness.connection.changes)
        harness.dialer.condition = Condition.HEALTHY
        assert await harness.connection.wait_generation(1) == 2

    run_scenario(scenario)


def test_flapping_keeps_a_bounded_history_and_does_not_flood_the_log() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        for _ in range(150):
            harness.dialer.condition = Condition.REFUSED
            await asyncio.sleep(1)
            harness.dialer.condition = Condition.HEALTHY
            await asyncio.sleep(1)
        assert len(harness.connection.status().history) == HISTORY_MAX

    with capture_logs() as lines:
        harness = run_scenario(scenario)
    changes = [line for line in lines if line["event"] == "temporal_connection_changed"]
    assert len(harness.count.changes) > 150
    assert len(changes) <= LINES_MAX * 6
    left_out = sum(line.get("left_out", 0) for line in changes)
    assert left_out + len(changes) <= len(harness.count.changes)
    assert left_out > 0


def test_the_state_in_which_flapping_ends_is_written_once_there_is_room() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        for condition in (Condition.REFUSED, Condition.HEALTHY) * LINES_MAX:
            harness.dialer.condition = condition
            await asyncio.sleep(1)
        harness.dialer.condition = Condition.REFUSED
        await asyncio.sleep(2 * WINDOW_S)

    with capture_logs() as lines:
        harness = run_scenario(scenario)
    changes = [line for line in lines if line["event"] == "temporal_connection_changed"]
    last = harness.connection.status().history[-2]
    assert changes[-2]["to"] == "DISCONNECTED"
    assert changes[-2]["happened_at"] == iso(last.at)
    assert changes[-1]["to"] == "STOPPED"
    assert len(changes) + sum(line.get("left_out", 0) for line in changes) == len(harness.count.changes)


def test_a_move_is_one_line_with_everything_in_it() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await harness.connection.wait_changed(0)

    with capture_logs() as lines:
        run_scenario(scenario, condition=Condition.REFUSED)
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
def test_every_move_is_legal_and_a_healthy_temporal_is_connected(seed: int) -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        rng = random.Random(seed)
        for _ in range(200):
            harness.dialer.condition = rng.choice(list(Condition))
            if rng.random() < 0.3:
                harness.connection.report_failure("x")
            await asyncio.sleep(rng.uniform(0, 3))
        harness.dialer.condition = Condition.HEALTHY
        await asyncio.sleep(5.5)
        assert harness.state is S.CONNECTED

    harness = run_scenario(scenario)
    for change in harness.count.changes:
        assert change.after in TRANSITIONS[change.before]
    assert [c.after for c in harness.count.changes[:-1]] == [c.before for c in harness.count.changes[1:]]


def test_a_request_to_hurry_does_not_wait_for_the_next_dial_or_probe() -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await asyncio.sleep(20)
        assert harness.state is S.MISCONFIGURED
        harness.dialer.condition = Condition.HEALTHY
        harness.connection.hurry()
        async with asyncio.timeout(1.1):
            await harness.connection.wait_connected()
        probes = len(harness.count.probes)
        await asyncio.sleep(1)
        harness.connection.hurry()
        await asyncio.sleep(1)
        assert len(harness.count.probes) == probes + 1

    run_scenario(scenario, address=FAR, condition=Condition.NO_NAMESPACE)


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
def test_since_when_and_until_when_follow_the_clock_as_it_is_set_now(by_s: float) -> None:
    async def scenario(harness: ConnectionHarness) -> None:
        await asyncio.sleep(40)
        before = harness.connection.status()
        assert before.now is not None
        assert before.next_try_at is not None
        assert before.since < before.now < before.next_try_at
        harness.clock.ahead_s = by_s
        after = harness.connection.status()
        assert after.next_try_at is not None
        for moment, then in ((after.since, before.since), (after.next_try_at, before.next_try_at)):
            assert abs(moment - then - timedelta(seconds=by_s)) < timedelta(milliseconds=1)

    run_scenario(scenario, address=FAR, condition=Condition.NO_NAMESPACE)
