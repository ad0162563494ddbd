"""Single scenarios in virtual time: a Temporal that serves only half, or forgets while a claim is under way."""

import asyncio

import pytest

from stigmer_cli.domain.execution import EventType, Execution
from stigmer_cli.domain.identity import RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.temporal.gateway import RunState
from tests.simulation.scenario import accept_request, play_scenario, server_of
from tests.simulation.simulation import Simulation
from tests.simulation.store import Memory
from tests.support.ids import claim


async def _emptied(simulation: Simulation) -> None:
    simulation.temporal.conditions.is_up = False
    await asyncio.sleep(1)
    simulation.temporal.wipe()
    simulation.temporal.conditions.is_up = True


@pytest.mark.parametrize("trouble", ["not_serving", "throttled"])
def test_a_temporal_that_refuses_all_starts_is_called_rarely(memory: Memory, trouble: str) -> None:
    async def scenario(simulation: Simulation) -> None:
        setattr(simulation.temporal.conditions, trouble, 1.0)
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(accept_request(simulation, number))
        await asyncio.sleep(5)
        calls = simulation.temporal.calls
        await asyncio.sleep(10)
        assert (simulation.temporal.calls - calls) / 10 < 20

    play_scenario(memory, scenario)


def test_a_temporal_that_refuses_all_starts_is_not_called_healthy(memory: Memory) -> None:
    async def scenario(simulation: Simulation) -> None:
        simulation.temporal.conditions.not_serving = 1.0
        await accept_request(simulation)
        await asyncio.sleep(30)
        strain = server_of(simulation).dispatcher.strain
        assert strain is not None
        assert "not serving yet" in strain.cause
        simulation.temporal.conditions.not_serving = 0.0
        await asyncio.sleep(10)
        assert server_of(simulation).dispatcher.strain is None

    play_scenario(memory, scenario)


def test_a_claim_of_a_run_that_temporal_forgot_does_not_look_like_a_lost_result(memory: Memory) -> None:
    async def scenario(simulation: Simulation) -> None:
        execution = await _claimed_by_a_ghost(simulation)
        events = [event.type for event in await simulation.store.events.list(execution.id)]
        assert EventType.RESUMED in events
        assert EventType.ATTENTION not in events

    play_scenario(memory, scenario)


def test_a_claim_of_a_run_that_temporal_forgot_is_resumed_and_has_one_effect_in_each_epoch(memory: Memory) -> None:
    async def scenario(simulation: Simulation) -> None:
        execution = await _claimed_by_a_ghost(simulation)
        row = await simulation.store.executions.get(execution.id)
        assert (row.phase, row.epoch) == (Phase.COMPLETED, 2)
        assert all(len(simulation.ledger.runs_of(execution.id, epoch)) <= 1 for epoch in (1, 2))
        assert all(run.state is not RunState.OPEN for run in simulation.temporal.runs.values())

    play_scenario(memory, scenario)


async def _claimed_by_a_ghost(simulation: Simulation) -> Execution:
    """Temporal is emptied while a claim is on its way, which then arrives before that of the run started since."""
    execution = await accept_request(simulation)
    [ghost] = simulation.temporal.runs.values()
    await _emptied(simulation)
    await asyncio.sleep(8)
    [heir] = simulation.temporal.runs.values()
    assert heir.run_id != ghost.run_id
    await claim(simulation.store, execution.id, epoch=1, run=RunId(ghost.run_id), runner="ghost")
    worker = simulation.group.create_task(simulation.runner().run())
    await asyncio.sleep(90)
    worker.cancel()
    return execution


def test_a_cancel_request_survives_an_emptied_temporal(memory: Memory) -> None:
    async def scenario(simulation: Simulation) -> None:
        execution = await accept_request(simulation)
        simulation.temporal.conditions.is_up = False
        await asyncio.sleep(2)
        await simulation.store.executions.request_cancel(execution.id)
        await _emptied(simulation)
        await asyncio.sleep(10)
        worker = simulation.group.create_task(simulation.runner().run())
        await asyncio.sleep(60)
        worker.cancel()
        assert (await simulation.store.executions.get(execution.id)).phase is Phase.CANCELLED
        assert simulation.ledger.effects == []

    play_scenario(memory, scenario)
