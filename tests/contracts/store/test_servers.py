"""Several servers on one PostgreSQL: together at the start, one winner a claim, well again after a cut."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.clock import SKEW_MAX
from stigmer_cli.domain.identity import ServerId
from stigmer_cli.errors import Conflict, Unavailable
from stigmer_cli.executions.reconcile.lease import LEASE_S, hold_lease
from stigmer_cli.store.servers import ServerRecord
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import OTHER_RUN, RUN, RealSleepClock, accepted, submitted, timeline
from tests.support import postgres
from tests.support.fakes import ManualClock
from tests.support.ids import claim


async def test_four_servers_start_at_once_and_make_one_store(cluster: postgres.Cluster) -> None:
    opened: list[Store] = []

    async def start() -> None:
        opened.append(await open_store(url, clock=RealSleepClock()))

    with cluster.database() as url:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(start())
        assert len({await store.meta.get("store_id") for store in opened}) == 1
        for store in opened:
            await store.close()


async def test_two_servers_never_both_win_a_claim(cluster: postgres.Cluster) -> None:
    with cluster.database() as url:
        async with (
            await open_store(url, clock=RealSleepClock()) as one,
            await open_store(url, clock=RealSleepClock()) as two,
        ):
            for _ in range(20):
                id_ = await submitted(one)
                async with asyncio.TaskGroup() as group:
                    claims = [
                        group.create_task(claim(one, id_, epoch=1, run=RUN, runner="one")),
                        group.create_task(claim(two, id_, epoch=1, run=OTHER_RUN, runner="two")),
                    ]
                assert sorted(claim.result() for claim in claims) == [ClaimAnswer.LOST, ClaimAnswer.WON]
                assert len(await timeline(two, id_)) == 3


async def test_a_store_is_well_again_after_every_connection_was_cut(cluster: postgres.Cluster) -> None:
    with cluster.database() as url:
        async with await open_store(url, clock=RealSleepClock()) as store:
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


async def test_servers_whose_clocks_are_apart_write_and_judge_by_the_databases_time(cluster: postgres.Cluster) -> None:
    ahead = RealSleepClock()
    ahead.move(600)
    with cluster.database() as url:
        async with await open_store(url, clock=RealSleepClock()) as one, await open_store(url, clock=ahead) as two:
            await one.sync_clock()
            await two.sync_clock()
            assert abs(one.clock.now() - two.clock.now()) < SKEW_MAX
            id_ = await accepted(one)
            assert id_ in [due.id for due in await two.executions.read_due(now=two.clock.now(), limit=9)]
            ahead.move(-86_400)  # and with it its monotonic time: no clock of ours is looked at but that
            assert two.clock.now() < one.clock.now() - timedelta(hours=23)
            await two.sync_clock()
            assert abs(one.clock.now() - two.clock.now()) < SKEW_MAX


async def test_the_holder_of_the_lease_keeps_out_a_server_whose_clock_is_ahead(cluster: postgres.Cluster) -> None:
    here, there = ManualClock(), ManualClock()
    there.set(600)
    with cluster.database() as url:
        async with await open_store(url, clock=here) as one, await open_store(url, clock=there) as two:
            await one.sync_clock()
            await two.sync_clock()
            async with hold_lease(one, holder="ann", clock=here):
                with pytest.raises(Conflict, match="ann has been reconciling"):
                    await hold_lease(two, holder="bob", clock=there).__aenter__()
                await there.advance(LEASE_S + 1)
                async with hold_lease(two, holder="bob", clock=there):
                    pass


async def test_a_sign_of_life_that_was_given_under_a_clock_that_ran_ahead_is_of_before(
    store: Store, clock: RealSleepClock
) -> None:
    dead = ServerRecord(id=ServerId("srv-1"), version="1", host="h", pid=1, address="a")
    await store.servers.beat(dead, "world")
    assert [one.record for one in await store.servers.read_living(within_s=10)] == [dead]
    clock.move(-3600)
    assert await store.servers.read_living(within_s=10) == []
    await store.servers.beat(dead, "world")
    assert [one.record for one in await store.servers.read_living(within_s=10)] == [dead]
