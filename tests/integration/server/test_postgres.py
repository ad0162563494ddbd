"""The same server, with PostgreSQL as nothing but another URL; two of them on one database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.domain.execution import EventType
from tests.support import postgres
from tests.support.polling import eventually
from tests.support.running_server import accept, make_agent, served
from tests.support.temporal_server import DevServer


@pytest.fixture
def database() -> Iterator[str]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as cluster, cluster.database() as url:
        yield url


async def test_two_servers_on_one_database_submit_each_execution_once(tmp_path: Path, database: str) -> None:
    settings = {"STIGMER_DATABASE_URL": database}
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    with DevServer(tmp_path) as temporal:
        async with (
            served(homes[0], temporal.address, settings) as one,
            served(homes[1], temporal.address, settings) as two,
            one.client() as here,
            two.client() as there,
        ):
            await make_agent(here)
            accepted = [await accept(client, f"k{number}") for number in range(5) for client in (here, there)]
            names = {execution.metadata.id for execution in accepted}
            assert len(names) == 5, "a key finds the same execution on the other server"
            temporal.start()

            async def all_submitted() -> bool:
                found = (await there.executions(Query(limit=100))).items
                return len(found) == 5 and all(item.status.dispatch.run_id for item in found)

            await eventually(all_submitted, within_s=20)
            for name in names:
                types = [event.type for event in await here.events(name)]
                assert types.count(EventType.SUBMITTED) == 1


async def test_a_follower_hears_of_what_another_server_wrote(tmp_path: Path, database: str) -> None:
    settings = {"STIGMER_DATABASE_URL": database}
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    async with (
        served(homes[0], "127.0.0.1:1", settings) as one,
        served(homes[1], "127.0.0.1:1", settings) as two,
        one.client() as here,
        two.client() as there,
    ):
        await make_agent(here)
        execution = await accept(here, "k")

        async def follow() -> list[EventType]:
            return [event.type async for event in there.follow(execution.metadata.id)]

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow(), name="follow")
            await here.cancel_execution(execution.metadata.id)
        assert following.result()[-1] is EventType.CANCELLED
