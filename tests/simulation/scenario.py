"""Single scenarios in virtual time: one connected server, no runner, and what a test does to them."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from stigmer_cli.domain.execution import AgentSpec, Execution
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.agents import AgentDraft
from tests.simulation.loop import QuickLoop
from tests.simulation.server import Server
from tests.simulation.simulation import Plan, Simulation
from tests.simulation.store import Memory, memory_store
from tests.support.fakes_temporal import LoopClock

Scenario = Callable[[Simulation], Awaitable[None]]


def play_scenario(memory: Memory, scenario: Scenario) -> None:
    """Run `scenario` on one connected server without a runner."""

    async def main() -> None:
        store = await memory_store(memory, clock=LoopClock(), rng=random.Random(1))
        agent = AgentDraft(
            id=AgentId("agt-00000000000000000000000000"), name="Greeter", slug="greeter", spec=AgentSpec()
        )
        await store.agents.apply([agent])
        async with asyncio.TaskGroup() as group:
            simulation = Simulation(Plan(seed=1), memory, store, group)
            simulation.start_server(0)
            await server_of(simulation).connection.wait_connected()
            await scenario(simulation)
            await simulation.kill_server(0)

    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        runner.run(main())


def server_of(simulation: Simulation) -> Server:
    """The server that is up."""
    server = simulation.a_server()
    assert server is not None
    return server


async def accept_request(simulation: Simulation, number: int = 0) -> Execution:
    """The execution of request `number`, as the server answers."""
    request = SubmitRequest(agent="greeter", message=f"request {number}", idempotency_key=f"key {number}")
    return await server_of(simulation).acceptor.accept(request, policy=SubmitPolicy.QUEUE)
