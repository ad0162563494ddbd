"""The server dies at every single step in turn, and each time everything ends as if it had not died."""

import asyncio
import random

import pytest

from stigmer_cli.domain.execution import AgentSpec, EventType, Execution
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.listing import Filter
from tests.simulation.loop import QuickLoop
from tests.simulation.reports import ServerDied
from tests.simulation.simulation import Plan, Simulation
from tests.simulation.store import Memory, memory_store
from tests.support.fakes_temporal import LoopClock

STEPS_MAX = 60
RESTART_S = 0.5


class Death:
    """Counts steps, and lets the server die at one of them. `passed` says where each step was."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.passed: list[str] = []
        self.simulation: Simulation | None = None
        self.died = asyncio.Event()

    def step(self, where: str) -> None:
        """One more step."""
        if self.simulation is None:
            return
        self.passed.append(where)
        if len(self.passed) == self.at:
            process = self.simulation.processes[0]
            assert process is not None
            process.cancel()
            self.simulation.servers[0] = None
            self.simulation.link.is_open = False
            self.died.set()
            raise ServerDied(where)


@pytest.mark.parametrize("is_emptied", [False, True], ids=["healthy", "emptied before a runner came"])
def test_a_server_that_dies_at_any_step_loses_nothing_and_repeats_nothing(memory: Memory, is_emptied: bool) -> None:  # noqa: FBT001
    steps = _lived(memory, None, is_emptied=is_emptied)
    assert {"before a commit", "after a commit", "before a start", "after a start"} <= set(steps)
    assert len(steps) < STEPS_MAX
    for at in range(1, len(steps) + 1):
        passed = _lived(memory, at, is_emptied=is_emptied)
        assert len(passed) >= at, f"step {at} was never reached"


def _lived(memory: Memory, at: int | None, *, is_emptied: bool) -> list[str]:
    memory.empty()
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(_life(memory, at, is_emptied=is_emptied))


async def _life(memory: Memory, at: int | None, *, is_emptied: bool) -> list[str]:
    death = Death(at)
    store = await memory_store(memory, clock=LoopClock(), rng=random.Random(1), on_step=death.step)
    agent = AgentDraft(id=AgentId("agt-00000000000000000000000000"), name="Greeter", slug="greeter", spec=AgentSpec())
    await store.agents.apply([agent])
    async with asyncio.TaskGroup() as group:
        simulation = Simulation(Plan(seed=2, executions=1), memory, store, group)
        simulation.temporal.on_start = death.step
        simulation.start_server(0)
        server = simulation.a_server()
        assert server is not None
        await server.connection.wait_connected()
        death.simulation = simulation
        tasks = [group.create_task(_supervised(simulation, death)), group.create_task(_wanting(simulation))]
        if is_emptied:
            await asyncio.sleep(3)
            simulation.temporal.wipe()
            await asyncio.sleep(10)
        tasks.append(group.create_task(simulation.runner().run()))
        await asyncio.sleep(60)
        page = await store.executions.list(Filter(), limit=10)
        types = [event.type for event in await store.events.list(page.items[0].id)]
        for task in tasks:
            task.cancel()
        await simulation.kill_server(0)
    _judge(simulation, list(page.items), types, f"died at step {at}, {death.passed[(at or 1) - 1]}")
    return death.passed


async def _supervised(simulation: Simulation, death: Death) -> None:
    """Start the server again when it has died."""
    await death.died.wait()
    await asyncio.sleep(RESTART_S)
    simulation.start_server(0)


async def _wanting(simulation: Simulation) -> None:
    """Ask under one key until there is an answer."""
    request = SubmitRequest(agent="greeter", message="request", idempotency_key="key")
    while True:
        server = simulation.a_server()
        if server is not None:
            try:
                await server.acceptor.accept(request, policy=SubmitPolicy.QUEUE)
            except ServerDied:
                await asyncio.sleep(0.1)
            else:
                return
        await asyncio.sleep(0.1)


def _judge(simulation: Simulation, rows: list[Execution], types: list[EventType], when: str) -> None:
    assert simulation.watcher.violations == [], when
    assert [row.phase for row in rows] == [Phase.COMPLETED], when
    assert len(simulation.ledger.runs_of(rows[0].id, 1)) == 1, when
    assert (types.count(EventType.CLAIMED), types.count(EventType.COMPLETED)) == (1, 1), when
