"""Several servers on one PostgreSQL: together at the start, one winner a claim, well again after a cut."""

import asyncio

import psycopg
import pytest

from stigmer_cli.errors import Unavailable
from stigmer_cli.store.runs import Claim
from stigmer_cli.store.store import Store, open_store
from tests import postgres
from tests.contracts.store.drafts import OTHER_RUN, RUN, HandClock, accepted, submitted, timeline
from tests.names import claim


async def test_four_servers_start_at_once_and_make_one_store(cluster: postgres.Cluster) -> None:
    opened: list[Store] = []

    async def start() -> None:
        opened.append(await open_store(url, clock=HandClock()))

    with cluster.database() as url:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(start())
        assert len({await store.meta.get("store_id") for store in opened}) == 1
        for store in opened:
            await store.close()


async def test_two_servers_never_both_win_a_claim(cluster: postgres.Cluster) -> None:
    with cluster.database() as url:
        async with await open_store(url, clock=HandClock()) as one, await open_store(url, clock=HandClock()) as two:
            for _ in range(20):
                id_ = await submitted(one)
                async with asyncio.TaskGroup() as group:
                    claims = [
                        group.create_task(claim(one, id_, epoch=1, run=RUN, runner="one")),
                        group.create_task(claim(two, id_, epoch=1, run=OTHER_RUN, runner="two")),
                    ]
                assert sorted(claim.result() for claim in claims) == [Claim.LOST, Claim.WON]
                assert len(await timeline(two, id_)) == 3


async def test_a_store_is_well_again_after_every_connection_was_cut(cluster: postgres.Cluster) -> None:
    with cluster.database() as url:
        async with await open_store(url, clock=HandClock()) as store:
            id_ = await accepted(store)
            with psycopg.connect(url, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await store.check()
            assert (await store.executions.get(id_)).id == id_
            with pytest.raises(Unavailable, match="is not available"):
                async with store._database.writing() as writing:
                    await writing.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
            await accepted(store)
