"""The current worker is replaced when it broke, or when the task queue does not show it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import task_queue_of
from stigmer_cli.runner.managed_worker import ManagedWorker
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.poll_gate import PollGate
from stigmer_cli.runner.replacement import STALE_OWN_MAX_S
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.server_link import ServerLink
from stigmer_cli.runner.worker_pool import PoolContext, WorkerPool
from stigmer_cli.settings import Home, Settings
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.dial import SdkDialer, Session
from tests.chaos.proxy import Proxy, Toxics
from tests.integration.runner.conftest import STARTED_MAX_S
from tests.support.fakes_runner import InMemoryReports
from tests.support.ids import STORE
from tests.support.polling import until_true
from tests.support.temporal_server import DevServer, client_of, dev_server


@asynccontextmanager
async def pool_of(temporal: DevServer, home: Home) -> AsyncIterator[WorkerPool]:
    """A worker pool at work, in this process."""
    clock, rng = SystemClock(), random.Random(1)
    connection = Connection(Target(address=temporal.address), clock=clock, rng=rng, identity="test")
    reports, clock_and_rng = InMemoryReports(), ClockAndRng(clock=clock, rng=rng)
    link = ServerLink(reports, url="http://the.server", clock=clock)
    context = PoolContext(
        model_retry=ModelRetry(for_s=900.0),
        connection=connection,
        gate=PollGate(link, connection, clock=clock),
        reporter=Reporter(reports, clock_and_rng),
        models=Catalog(Settings(home=home), clock=clock),
        clock_and_rng=clock_and_rng,
        stale_max_s=STALE_OWN_MAX_S,
    )
    pool = WorkerPool(context, task_queue_of(STORE))
    async with asyncio.TaskGroup() as group:
        owners = [group.create_task(connection.run()), group.create_task(link.run())]
        running = group.create_task(pool.run(group))
        try:
            yield pool
        finally:
            pool.stop_signal.asked.set()
            await running
            for owner in owners:
                owner.cancel()


@pytest.fixture
async def pool(temporal: DevServer, home: Home) -> AsyncIterator[WorkerPool]:
    temporal.start()
    async with pool_of(temporal, home) as pool:
        yield pool


class DialsAtFirst(SdkDialer):
    """Dials `address` for the first worker, and the target itself from then on."""

    def __init__(self, address: str) -> None:
        self._address: str | None = address

    async def dial(self, target: Target, *, identity: str) -> Session:
        address, self._address = self._address, None
        return await super().dial(replace(target, address=address or target.address), identity=identity)


async def seen(pool: WorkerPool, number: int) -> ManagedWorker:
    """The worker with this number, once the task queue shows it."""
    await until_true(
        lambda: pool.current is not None and pool.current.is_seen and f"/{number}-" in pool.current.identity,
        within_s=STARTED_MAX_S,
    )
    assert pool.current is not None
    return pool.current


async def test_a_broken_worker_is_relieved_at_once(pool: WorkerPool) -> None:
    first = await seen(pool, 1)
    first.broken.set()
    await seen(pool, 2)
    await until_true(first.ended.is_set, within_s=5)


async def test_a_worker_that_the_task_queue_never_showed_is_relieved(pool: WorkerPool) -> None:
    first = await seen(pool, 1)
    # As if it had been waited for long ago, under a name that the queue never shows.
    first.is_seen, first.began, first.identity = False, first.began - 11, f"{first.identity}/unseen"
    await seen(pool, 2)
    await until_true(first.ended.is_set, within_s=5)


async def test_no_worker_begins_while_two_still_end_their_work(pool: WorkerPool) -> None:
    first = await seen(pool, 1)
    pool._retiring.update({"one": first, "another": first})
    first.broken.set()
    await pool.run_once(asyncio.TaskGroup())
    assert pool.current is first
    del pool._retiring["one"]
    await seen(pool, 2)
    pool._retiring.clear()


async def test_a_worker_that_stops_polling_is_relieved_within_fifteen_seconds(pool: WorkerPool, tmp_path: Path) -> None:
    """R5: the worker lives, its client answers, and the task queue has no poller: its polls go elsewhere."""
    first = await seen(pool, 1)
    with dev_server(tmp_path) as elsewhere:
        first.worker.client = await client_of(elsewhere)
        took_s = await until_true(lambda: pool.current is not first, within_s=25)
        print(f"parked worker replaced after {took_s:.1f} s")
        await seen(pool, 2)
        await until_true(first.ended.is_set, within_s=5)
    assert took_s < 15


async def test_a_worker_whose_own_client_is_cut_off_is_relieved(temporal: DevServer, home: Home) -> None:
    """The runner's connection is well, and the worker's is not: a poll that hangs looks like one that waits."""
    temporal.start()
    async with Proxy(temporal.port, random.Random(1)) as proxy, pool_of(temporal, home) as pool:
        pool._dialer = DialsAtFirst(proxy.address)
        first = await seen(pool, 1)
        proxy.toxics = Toxics(is_silent_up=True)
        took_s = await until_true(lambda: pool.current is not first, within_s=15)
        print(f"silent worker replaced after {took_s:.1f} s")
        await seen(pool, 2)
        proxy.toxics = Toxics()
    assert took_s < 10
