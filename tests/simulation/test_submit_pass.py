"""Single scenarios of the stream of submits: marks that share a commit, and a failed one while others keep coming."""

import asyncio
from collections import Counter

from stigmer_cli.domain.execution import EventType, QueueReason
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.store.executions import Taken
from stigmer_cli.store.listing import Filter
from tests.simulation.scenario import accept_request, play_scenario
from tests.simulation.simulation import Simulation
from tests.simulation.store import Memory

REQUESTS = 60
TRIED_AGAIN_WITHIN_S = 5


def test_marks_that_share_a_commit_are_all_written_and_nothing_is_started_twice(memory: Memory) -> None:
    async def scenario(simulation: Simulation) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(REQUESTS):
                group.create_task(accept_request(simulation, number))
        await asyncio.sleep(5)
        assert len(simulation.temporal.runs) == REQUESTS
        assert Counter(simulation.temporal.starts) == Counter(list(simulation.temporal.runs))
        for run in simulation.temporal.runs.values():
            events = await simulation.store.events.list(ExecutionId(run.execution))
            submitted = [event.data for event in events if event.type is EventType.SUBMITTED]
            assert submitted == [{"run": run.run_id, "already": False}]

    play_scenario(memory, scenario)


def test_of_the_marks_in_one_commit_that_of_another_epoch_is_left_out(memory: Memory) -> None:
    async def scenario(simulation: Simulation) -> None:
        simulation.temporal.conditions.is_up = False
        await asyncio.sleep(5)
        fresh, stale = [await accept_request(simulation, number) for number in range(2)]
        marks = [
            Taken(id=one.id, epoch=epoch, run_id=RunId("run"), cluster="w", already=False)
            for one, epoch in ((fresh, 1), (stale, 2))
        ]
        assert await simulation.store.executions.mark_all_submitted(marks) == {fresh.id}
        assert (await simulation.store.executions.get(fresh.id)).dispatch.is_submitted
        assert not (await simulation.store.executions.get(stale.id)).dispatch.is_submitted

    play_scenario(memory, scenario)


def test_an_execution_that_was_refused_once_is_tried_again_soon_though_others_keep_coming(memory: Memory) -> None:
    async def scenario(simulation: Simulation) -> None:
        conditions, rows = simulation.temporal.conditions, simulation.store.executions
        conditions.slow_s = 0.06
        more = simulation.group.create_task(_steadily(simulation))
        await asyncio.sleep(1)
        conditions.throttle_cpu = 1.0
        await asyncio.sleep(0.1)
        conditions.throttle_cpu = 0.0
        await asyncio.sleep(0.1)
        queued = await rows.list(Filter(submitted=False), limit=50)
        unlucky = [row.id for row in queued.items if row.dispatch.reason is QueueReason.TEMPORAL_BUSY]
        assert unlucky
        await asyncio.sleep(TRIED_AGAIN_WITHIN_S)
        found = [await rows.get(name) for name in unlucky]
        more.cancel()
        assert [row.dispatch.detail for row in found if not row.dispatch.is_submitted] == []

    play_scenario(memory, scenario)


async def _steadily(simulation: Simulation) -> None:
    """Twenty a second, so that there is always one under way."""
    async with asyncio.TaskGroup() as group:
        for number in range(1, 1000):
            group.create_task(accept_request(simulation, number))
            await asyncio.sleep(0.05)
