"""A real server whose wall clock is set while it runs, on a real Temporal, and on PostgreSQL beside a second one."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.execution import EventType, QueueReason
from tests.chaos.frames import Code
from tests.chaos.proxy import Proxy, Refusing, Toxics
from tests.support import postgres
from tests.support.clock_shim import ClockShim
from tests.support.polling import eventually, until_true
from tests.support.running_server import Served, accept, make_agent, served
from tests.support.temporal_server import DevServer, dev_server

HOUR_S, DAY_S = 3600.0, 86_400.0
BUSY = Refusing(answers=((Code.RESOURCE_EXHAUSTED, "namespace rate limit exceeded"),), methods=("StartWorkflow",))


@pytest.fixture
def clocks(tmp_path: Path) -> ClockShim:
    return ClockShim(tmp_path)


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[DevServer]:
    with dev_server(tmp_path) as server:
        yield server


@pytest.fixture
async def proxy(temporal: DevServer) -> AsyncIterator[Proxy]:
    async with Proxy(temporal.port, Random(1)) as one:
        yield one


@pytest.fixture
async def server(tmp_path: Path, proxy: Proxy, clocks: ClockShim) -> AsyncIterator[Served]:
    async with served(tmp_path, proxy.address, clocks.environment) as one:
        await one.until()
        yield one


@pytest.fixture
async def client(server: Served) -> AsyncIterator[Client]:
    async with server.client() as one:
        await make_agent(one)
        yield one


async def _until(client: Client, execution: ExecutionResource, state: DispatchState) -> None:
    async def reached() -> bool:
        return (await client.execution(execution.metadata.id)).status.dispatch.state is state

    await eventually(reached, within_s=5, what=state)


async def test_what_was_queued_under_a_clock_an_hour_ahead_is_submitted_when_it_is_right_again(
    client: Client, clocks: ClockShim, proxy: Proxy
) -> None:
    proxy.toxics = Toxics(calls=BUSY)
    clocks.set("server", HOUR_S)
    execution = await accept(client, "ahead")

    async def has_been_refused() -> bool:
        dispatch = (await client.execution(execution.metadata.id)).status.dispatch
        return dispatch.reason is QueueReason.TEMPORAL_BUSY and dispatch.next_try_at is not None

    await eventually(has_been_refused, within_s=10)
    proxy.toxics = Toxics()
    clocks.set("server", 0)
    await _until(client, execution, DispatchState.SUBMITTED)


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S, 300, -300])
async def test_a_step_is_logged_once_shown_in_health_and_stops_nothing(
    server: Served, client: Client, clocks: ClockShim, by_s: float
) -> None:
    clocks.set("server", by_s)
    await until_true(lambda: "clock_jumped" in server.log.read_text(), within_s=5)
    execution = await accept(client, "after")
    await _until(client, execution, DispatchState.SUBMITTED)
    told = (await client.health()).clock
    assert told.set_s == pytest.approx(by_s, abs=1)
    assert told.jumped_ago_s == pytest.approx(5, abs=5)
    assert server.log.read_text().count("clock_jumped") == 1
    line = next(line for line in server.log.read_text().splitlines() if "clock_jumped" in line)
    assert ("forward" if by_s > 0 else "back") in line


async def test_in_any_year_of_the_clock_ids_grow_and_work_continues(client: Client, clocks: ClockShim) -> None:
    """K1: two years ahead, a day behind, and an hour this way and that."""
    ids = []
    for number, ahead_s in enumerate((2 * 365 * DAY_S, -DAY_S, HOUR_S, -HOUR_S, 0)):
        clocks.set("server", ahead_s)
        execution = await accept(client, f"step {number}")
        await _until(client, execution, DispatchState.SUBMITTED)
        ids.append(execution.metadata.id)
    assert ids == sorted(ids)


async def test_a_server_that_slept_probes_at_once_and_takes_nothing_for_lost(
    server: Served, client: Client, clocks: ClockShim
) -> None:
    """K2: the lid was closed for eight hours."""
    before = (await client.health()).temporal
    clocks.suspend("server", 8 * HOUR_S)
    await until_true(lambda: "clock_jumped" in server.log.read_text(), within_s=3)
    line = next(line for line in server.log.read_text().splitlines() if "clock_jumped" in line)
    assert "slept_s" in line
    assert "clock_set_s" not in line
    execution = await accept(client, "awake")
    await _until(client, execution, DispatchState.SUBMITTED)
    after = await client.health()
    assert (after.temporal.state, after.temporal.reconnects) == ("CONNECTED", before.reconnects)
    assert [change.after for change in after.temporal.history] == [change.after for change in before.history]
    assert after.clock.slept_s == pytest.approx(8 * HOUR_S, abs=1)


async def test_an_orphan_of_a_clock_that_ran_ahead_is_found_when_it_is_right_again(
    client: Client, clocks: ClockShim, temporal: DevServer
) -> None:
    clocks.set("server", HOUR_S)
    execution = await accept(client, "orphan")
    await _until(client, execution, DispatchState.SUBMITTED)
    before = (await client.execution(execution.metadata.id)).status.dispatch.run_id
    temporal.kill()
    clocks.set("server", 0)
    temporal.start()

    async def is_submitted_again() -> bool:
        dispatch = (await client.execution(execution.metadata.id)).status.dispatch
        return dispatch.state is DispatchState.SUBMITTED and dispatch.run_id != before

    await eventually(is_submitted_again, within_s=20)


async def test_two_servers_ten_minutes_apart_work_on_one_database(tmp_path: Path, clocks: ClockShim) -> None:
    """K3: the one that is ahead writes what the other submits, and no reconcile meddles with what is fresh."""
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    clocks.set("server", 600)
    homes = [tmp_path / name for name in ("right", "ahead")]
    for home in homes:
        home.mkdir()
    with postgres.running(programs) as cluster, cluster.database() as url, DevServer(tmp_path) as temporal:
        shared = {"STIGMER_DATABASE_URL": url}
        async with (
            served(homes[0], temporal.address, shared) as right,
            served(homes[1], temporal.address, {**shared, **clocks.environment}) as ahead,
            right.client() as here,
            ahead.client() as there,
        ):
            await make_agent(here)
            accepted = [await accept(client, f"{n}-{client is here}") for n in range(3) for client in (here, there)]
            moments = [execution.metadata.created_at for execution in accepted]
            assert max(moments) - min(moments) < timedelta(seconds=60)
            temporal.start()
            for execution in accepted:
                await _until(here, execution, DispatchState.SUBMITTED)
                types = [event.type for event in await there.events(execution.metadata.id)]
                assert types == [EventType.ACCEPTED, EventType.SUBMITTED]
