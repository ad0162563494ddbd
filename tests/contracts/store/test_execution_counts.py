"""How many executions there are of each phase is kept exactly, whatever changes them."""

import asyncio

import pytest
from sqlalchemy import text

from stigmer_cli.domain.execution import AttentionCode, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ServerBusy
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import RUN, WITHOUT_COUNTS, RealSleepClock, Stage, accepted, bring_to, draft, running
from tests.support.moves import mark_attention, start_over
from tests.support.polling import eventually

COUNTED = "SELECT phase, kind, count(*) AS number FROM executions GROUP BY phase, kind"


async def expect_exact(store: Store) -> None:
    """Fails unless the numbers are those of the rows."""
    async with store._database.reading() as connection:
        rows = (await connection.exec_driver_sql(COUNTED)).mappings()
        expected = {(Phase(row["phase"]), Kind(row["kind"])): row["number"] for row in rows}
    assert await store.executions.count_by_phase() == expected


async def test_every_transition_is_counted(store: Store) -> None:
    assert await store.executions.count_by_phase() == {}
    for stage in Stage:
        await bring_to(store, stage)
    assert await store.executions.count_by_phase() == {
        (Phase.PENDING, Kind.AGENT): 3,
        (Phase.IN_PROGRESS, Kind.AGENT): 1,
        (Phase.COMPLETED, Kind.AGENT): 1,
        (Phase.FAILED, Kind.AGENT): 1,
        (Phase.CANCELLED, Kind.AGENT): 1,
    }
    await expect_exact(store)


async def test_a_restart_a_repetition_and_a_deletion_are_counted(store: Store) -> None:
    first, second = await running(store), await running(store)
    await mark_attention(store, first, epoch=1, version=None, code=AttentionCode.LOST, reason="")
    version = (await store.executions.get(first)).version
    assert await start_over(store, first, epoch=1, version=version)
    await store.runs.finish(second, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.COMPLETED))
    again = draft(key="k")
    for _ in range(2):
        await store.executions.accept(again, reason=QueueReason.ACCEPTED, detail="")
    await expect_exact(store)
    assert await store.pruning.delete([first, second]) == {second}
    await expect_exact(store)
    assert sum((await store.executions.count_by_phase()).values()) == 2


async def test_what_was_taken_back_does_not_count(store: Store) -> None:
    await accepted(store)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 (what is tested is the block)
        async with store._database.writing() as writing:
            await writing.connection.execute(text("DELETE FROM executions"))
            raise ZeroDivisionError
    await expect_exact(store)
    assert await store.executions.count_by_phase() == {(Phase.PENDING, Kind.AGENT): 1}


async def test_writers_at_the_same_time_are_all_counted_and_none_waits_for_another(
    url: str, clock: RealSleepClock
) -> None:
    async with await open_store(url, clock=clock) as store:

        async def live() -> None:
            while (id_ := await run_unless_busy()) is None:
                await clock.sleep(0.05)
            await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.COMPLETED))

        async def run_unless_busy() -> ExecutionId | None:
            """None where the machine is so busy that the last of them would wait too long for its turn."""
            try:
                return await running(store)
            except ServerBusy:
                return None

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(live())
        assert await store.executions.count_by_phase() == {(Phase.COMPLETED, Kind.AGENT): 20}

    async def are_added_up() -> bool:
        """PostgreSQL ends the processes of closed connections in its own time, and a process that is there counts."""
        async with await open_store(url, clock=clock) as store:
            assert await store.executions.count_by_phase() == {(Phase.COMPLETED, Kind.AGENT): 20}
            async with store._database.reading() as connection:
                writers = await connection.scalar(text("SELECT count(DISTINCT writer) FROM execution_counts"))
            return bool(writers == 1)

    await eventually(are_added_up, within_s=10, what="the numbers of connections that have ended added up")
    async with await open_store(url, clock=clock) as store:
        await accepted(store)
        await expect_exact(store)


async def test_what_a_store_held_before_it_counted_is_counted(url: str, clock: RealSleepClock) -> None:
    async with await open_store(url, clock=clock) as store:
        for stage in Stage:
            await bring_to(store, stage)
        async with store._database.writing() as writing:
            for statement in WITHOUT_COUNTS[store.kind]:
                await writing.connection.execute(text(statement))
    async with await open_store(url, clock=clock) as store:
        await expect_exact(store)
        await bring_to(store, Stage.FAILED)
        await expect_exact(store)
