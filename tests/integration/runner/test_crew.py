"""The worker that is on is relieved when it broke, or when the task queue does not show it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import task_queue_of
from stigmer_cli.runner.chance import Chance
from stigmer_cli.runner.crew import Crew, CrewContext
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.poll_gate import PollGate
from stigmer_cli.runner.relief import STALE_OWN_MAX_S
from stigmer_cli.runner.reports import Reporter
from stigmer_cli.runner.server_link import ServerLink
from stigmer_cli.runner.shift import Shift
from stigmer_cli.settings import Home, Settings
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.dial import SdkDialer, Session
from tests.chaos.proxy import Proxy, Toxics
from tests.eventually import until_true
from tests.fakes_runner import InMemoryReports
from tests.integration.runner.conftest import STARTED_MAX_S
from tests.names import STORE
from tests.temporal_server import DevServer, client_of, dev_server


@asynccontextmanager
async def crew_of(temporal: DevServer, home: Home) -> AsyncIterator[Crew]:
    """A crew at work, in this process."""
    clock, rng = SystemClock(), random.Random(1)
    connection = Connection(Target(address=temporal.address), clock=clock, rng=rng, identity="test")
    reports, chance = InMemoryReports(), Chance(clock=clock, rng=rng)
    link = ServerLink(reports, url="http://the.server", clock=clock)
    context = CrewContext(
        connection=connection,
        gate=PollGate(link, connection, clock=clock),
        reporter=Reporter(reports, chance),
        models=Catalog(Settings(home=home), clock=clock),
        chance=chance,
        stale_max_s=STALE_OWN_MAX_S,
    )
    crew = Crew(context, task_queue_of(STORE))
    async with asyncio.TaskGroup() as group:
        owners = [group.create_task(connection.run()), group.create_task(link.run())]
        running = group.create_task(crew.run(group))
        try:
            yield crew
        finally:
            crew.stopping.asked.set()
            await running
            for owner in owners:
                owner.cancel()


@pytest.fixture
async def crew(temporal: DevServer, home: Home) -> AsyncIterator[Crew]:
    temporal.start()
    async with crew_of(temporal, home) as crew:
        yield crew


class DialsAtFirst(SdkDialer):
    """Dials `address` for the first worker, and the target itself from then on."""

    def __init__(self, address: str) -> None:
        self._address: str | None = address

    async def dial(self, target: Target, *, identity: str) -> Session:
        address, self._address = self._address, None
        return await super().dial(replace(target, address=address or target.address), identity=identity)


async def seen(crew: Crew, number: int) -> Shift:
    """The worker with this number, once the task queue shows it."""
    await until_true(
        lambda: crew.on is not None and crew.on.is_seen and f"/{number}-" in crew.on.identity,
        within_s=STARTED_MAX_S,
    )
    assert crew.on is not None
    return crew.on


async def test_a_broken_worker_is_relieved_at_once(crew: Crew) -> None:
    first = await seen(crew, 1)
    first.broken.set()
    await seen(crew, 2)
    await until_true(first.ended.is_set, within_s=5)


async def test_a_worker_that_the_task_queue_never_showed_is_relieved(crew: Crew) -> None:
    first = await seen(crew, 1)
    # As if it had been waited for long ago, under a name that the queue never shows.
    first.is_seen, first.began, first.identity = False, first.began - 11, f"{first.identity}/unseen"
    await seen(crew, 2)
    await until_true(first.ended.is_set, within_s=5)


async def test_no_worker_begins_while_two_still_end_their_work(crew: Crew) -> None:
    first = await seen(crew, 1)
    crew._retiring.update({"one": first, "another": first})
    first.broken.set()
    await crew.run_once(asyncio.TaskGroup())
    assert crew.on is first
    del crew._retiring["one"]
    await seen(crew, 2)
    crew._retiring.clear()


async def test_a_worker_that_stops_polling_is_relieved_within_fifteen_seconds(crew: Crew, tmp_path: Path) -> None:
    """R5: the worker lives, its client answers, and the task queue has no poller: its polls go elsewhere."""
    first = await seen(crew, 1)
    with dev_server(tmp_path) as elsewhere:
        first.worker.client = await client_of(elsewhere)
        took_s = await until_true(lambda: crew.on is not first, within_s=25)
        print(f"parked worker relieved after {took_s:.1f} s")
        await seen(crew, 2)
        await until_true(first.ended.is_set, within_s=5)
    assert took_s < 15


async def test_a_worker_whose_own_client_is_cut_off_is_relieved(temporal: DevServer, home: Home) -> None:
    """The runner's connection is well, and the worker's is not: a poll that hangs looks like one that waits."""
    temporal.start()
    async with Proxy(temporal.port, random.Random(1)) as proxy, crew_of(temporal, home) as crew:
        crew._dialer = DialsAtFirst(proxy.address)
        first = await seen(crew, 1)
        proxy.toxics = Toxics(is_silent_up=True)
        took_s = await until_true(lambda: crew.on is not first, within_s=15)
        print(f"silent worker relieved after {took_s:.1f} s")
        await seen(crew, 2)
        proxy.toxics = Toxics()
    assert took_s < 10
