"""The worker that is on is relieved when it broke, or when the task queue does not show it."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.runner.chance import Chance
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.shift import Shift
from stigmer_cli.runner.worker import Crew
from stigmer_cli.settings import Home, Settings
from stigmer_cli.temporal.connection import Connection, Target
from tests.fakes_runner import InMemoryReports
from tests.temporal_server import DevServer, eventually


@pytest.fixture
async def crew(temporal: DevServer, home: Home) -> AsyncIterator[Crew]:
    temporal.start()
    clock, rng = SystemClock(), random.Random(1)
    connection = Connection(Target(address=temporal.address), clock=clock, rng=rng, identity="test")
    catalog = Catalog(Settings(home=home), clock=clock)
    crew = Crew(connection, InMemoryReports(), catalog, Chance(clock=clock, rng=rng))
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(connection.run())
        running = group.create_task(crew.run(group))
        try:
            yield crew
        finally:
            crew.stopping.asked.set()
            await running
            owner.cancel()


async def seen(crew: Crew, number: int) -> Shift:
    """The worker with this number, once the task queue shows it."""
    await eventually(
        lambda: crew.on is not None and crew.on.is_seen and crew.on.identity.endswith(f"/{number}"), within_s=10
    )
    assert crew.on is not None
    return crew.on


async def test_a_broken_worker_is_relieved_at_once(crew: Crew) -> None:
    first = await seen(crew, 1)
    first.broken.set()
    await seen(crew, 2)
    await eventually(first.ended.is_set, within_s=5)


async def test_a_worker_that_the_task_queue_never_showed_is_relieved(crew: Crew) -> None:
    first = await seen(crew, 1)
    # As if it had begun just now, and long ago had been waited for: nothing the queue shows is as fresh as that.
    first.is_seen, first.began, first.began_at = False, first.began - 11, first.began_at + timedelta(hours=1)
    await seen(crew, 2)
    await eventually(first.ended.is_set, within_s=5)


async def test_no_worker_begins_while_two_still_end_their_work(crew: Crew) -> None:
    first = await seen(crew, 1)
    crew._retiring.update({"one", "another"})
    first.broken.set()
    await crew.run_once(asyncio.TaskGroup())
    assert crew.on is first
    crew._retiring.discard("one")
    await seen(crew, 2)
    crew._retiring.clear()
