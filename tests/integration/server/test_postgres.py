"""The same server, with PostgreSQL as nothing but another URL; two of them on one database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.domain.execution import EventType
from stigmer_cli.errors import Unavailable
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


async def test_a_row_that_somebody_locks_keeps_no_other_one_waiting_and_the_server_says_what_holds_it_up(
    tmp_path: Path, database: str
) -> None:
    with DevServer(tmp_path) as temporal:
        async with (
            served(tmp_path, temporal.address, {"STIGMER_DATABASE_URL": database}) as server,
            server.client() as client,
        ):
            await make_agent(client)
            locked = (await accept(client, "locked")).metadata.id
            with psycopg.connect(database) as somebody:
                somebody.execute("SELECT 1 FROM executions WHERE id = %s FOR UPDATE", (locked,))
                others = [(await accept(client, f"k{number}")).metadata.id for number in range(5)]
                temporal.start()

                async def all_others_are_submitted() -> bool:
                    found = [await client.execution(name) for name in others]
                    return all(one.status.dispatch.run_id for one in found)

                await eventually(all_others_are_submitted, within_s=40)
                health = await client.health()
                assert (health.state, "Dispatcher is held up since" in health.store.error) == ("degraded", True)
                assert "lock timeout" in health.store.error
                assert not (await client.execution(locked)).status.dispatch.run_id

            async def is_submitted() -> bool:
                return bool((await client.execution(locked)).status.dispatch.run_id)

            await eventually(is_submitted, within_s=20)


async def test_after_a_failover_no_connection_to_what_is_a_replica_now_is_used_again(
    tmp_path: Path, database: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]

    def tell(statement: str) -> None:
        with psycopg.connect(database, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.format(name).encode())

    async with (
        served(tmp_path, "127.0.0.1:1", {"STIGMER_DATABASE_URL": database}) as server,
        server.client() as client,
    ):
        await make_agent(client)
        tell("ALTER DATABASE {} SET default_transaction_read_only = on")
        tell("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()")

        async def is_refused() -> bool:
            try:
                await accept(client, "refused")
            except Unavailable as error:
                return "read-only" in error.message
            return False

        await eventually(is_refused, within_s=20)
        tell("ALTER DATABASE {} SET default_transaction_read_only = off")  # for connections that are made from now on

        async def is_accepted() -> bool:
            return bool((await accept(client, "accepted")).metadata.id)

        await eventually(is_accepted, within_s=20, despite=Unavailable)
