"""Single stories in virtual time: a Temporal that serves only half, or forgets while a claim is under way."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest
import structlog
from sqlalchemy import Engine

from stigmer_cli.domain.execution import AgentSpec, AttentionCode, Execution
from stigmer_cli.domain.identity import AgentId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.accept import Wish
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.temporal.gateway import RunState
from tests.fakes_temporal import LoopClock
from tests.simulation.store import memory_engine, memory_store
from tests.simulation.world import Plan, QuickLoop, Server, Simulation

Story = Callable[[Simulation], Awaitable[None]]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = memory_engine()
    yield made
    made.dispose()


def told(engine: Engine, story: Story) -> None:
    """Tell a story of one server that is connected, and no runner."""

    async def main() -> None:
        store = await memory_store(engine, clock=LoopClock(), rng=random.Random(1))
        agent = AgentDraft(
            id=AgentId("agt-00000000000000000000000000"), name="Greeter", slug="greeter", spec=AgentSpec()
        )
        await store.agents.apply([agent])
        async with asyncio.TaskGroup() as group:
            simulation = Simulation(Plan(seed=1), engine, store, group)
            simulation.start_server(0)
            await _server(simulation).connection.wait_connected()
            await story(simulation)
            await simulation.kill_server(0)

    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        runner.run(main())


def _server(simulation: Simulation) -> Server:
    server = simulation.a_server()
    assert server is not None
    return server


async def _accepted(simulation: Simulation, number: int = 0) -> Execution:
    wish = Wish(agent="greeter", message=f"wish {number}", idempotency_key=f"key {number}")
    return await _server(simulation).acceptor.accept(wish, policy=SubmitPolicy.QUEUE)


async def _emptied(simulation: Simulation) -> None:
    simulation.temporal.weather.is_up = False
    await asyncio.sleep(1)
    simulation.temporal.wipe()
    simulation.temporal.weather.is_up = True


@pytest.mark.parametrize("trouble", ["not_serving", "throttled"])
def test_a_temporal_that_refuses_all_starts_is_not_hammered(engine: Engine, trouble: str) -> None:
    async def story(simulation: Simulation) -> None:
        setattr(simulation.temporal.weather, trouble, 1.0)
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(_accepted(simulation, number))
        await asyncio.sleep(5)
        calls = simulation.temporal.calls
        await asyncio.sleep(10)
        assert (simulation.temporal.calls - calls) / 10 < 20

    told(engine, story)


def test_a_temporal_that_refuses_all_starts_is_not_called_healthy(engine: Engine) -> None:
    async def story(simulation: Simulation) -> None:
        simulation.temporal.weather.not_serving = 1.0
        await _accepted(simulation)
        await asyncio.sleep(30)
        strain = _server(simulation).dispatcher.strain
        assert strain is not None
        assert "not serving yet" in strain.cause
        simulation.temporal.weather.not_serving = 0.0
        await asyncio.sleep(10)
        assert _server(simulation).dispatcher.strain is None

    told(engine, story)


def test_a_claim_of_a_run_that_temporal_forgot_does_not_look_like_a_lost_result(engine: Engine) -> None:
    async def story(simulation: Simulation) -> None:
        execution = await _claimed_by_a_ghost(simulation)
        row = await simulation.store.executions.get(execution.id)
        if row.phase is not Phase.COMPLETED:
            assert row.attention is not None
            assert row.attention.code is AttentionCode.LOST

    told(engine, story)


def test_a_claim_of_a_run_that_temporal_forgot_has_no_second_effect_and_is_shown(engine: Engine) -> None:
    async def story(simulation: Simulation) -> None:
        execution = await _claimed_by_a_ghost(simulation)
        row = await simulation.store.executions.get(execution.id)
        assert row.phase is Phase.COMPLETED or row.attention is not None
        assert len(simulation.ledger.runs_of(execution.id, 1)) <= 1
        assert all(run.state is not RunState.OPEN for run in simulation.temporal.runs.values())

    told(engine, story)


async def _claimed_by_a_ghost(simulation: Simulation) -> Execution:
    """Temporal is emptied while a claim is on its way, which then arrives before that of the run started since."""
    execution = await _accepted(simulation)
    [ghost] = simulation.temporal.runs.values()
    await _emptied(simulation)
    await asyncio.sleep(8)
    [heir] = simulation.temporal.runs.values()
    assert heir.run_id != ghost.run_id
    await simulation.store.runs.claim(execution.id, epoch=1, run=RunId(ghost.run_id), runner="ghost")
    worker = simulation.group.create_task(simulation.runner().run())
    await asyncio.sleep(90)
    worker.cancel()
    return execution


def test_a_wish_to_cancel_survives_an_emptied_temporal(engine: Engine) -> None:
    async def story(simulation: Simulation) -> None:
        execution = await _accepted(simulation)
        simulation.temporal.weather.is_up = False
        await asyncio.sleep(2)
        await simulation.store.executions.request_cancel(execution.id)
        await _emptied(simulation)
        await asyncio.sleep(10)
        worker = simulation.group.create_task(simulation.runner().run())
        await asyncio.sleep(60)
        worker.cancel()
        assert (await simulation.store.executions.get(execution.id)).phase is Phase.CANCELLED
        assert simulation.ledger.effects == []

    told(engine, story)
