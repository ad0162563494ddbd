"""One seed from beginning to end: the stack is built, faults are injected and end, and the result is judged."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from stigmer_cli.domain.execution import AgentSpec
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.store.agents import AgentDraft
from tests.simulation.judge import judge
from tests.simulation.loop import QuickLoop
from tests.simulation.nemesis import inject_faults
from tests.simulation.runner import run_endlessly
from tests.simulation.simulation import Plan, Simulation
from tests.simulation.store import Memory, memory_store
from tests.simulation.watcher import Violation
from tests.support.fakes_temporal import LoopClock


@dataclass
class Result:
    """The result of a seed."""

    plan: Plan
    phases: Counter[str]
    attention: Counter[str]
    faults: Counter[str]
    effects: int
    calls: int


def run_seed(plan: Plan, memory: Memory) -> Result:
    """Run one seed to its end; raises Violation, with the seed in its words."""
    memory.empty()
    try:
        with asyncio.Runner(loop_factory=QuickLoop) as runner:
            return runner.run(_run_seed(plan, memory))
    except Violation as violation:
        raise Violation(f"{violation}\nagain: python -m tests.simulation.run --first {plan.seed} --seeds 1") from None


async def _run_seed(plan: Plan, memory: Memory) -> Result:
    store = await memory_store(memory, clock=LoopClock(), rng=random.Random(plan.seed + 3))
    agent = AgentDraft(
        id=AgentId("agt-00000000000000000000000000"), name="Greeter", slug="greeter", spec=AgentSpec(model="simulated")
    )
    await store.agents.apply([agent])
    async with asyncio.TaskGroup() as group:
        simulation = Simulation(plan, memory, store, group)
        for number in range(plan.servers):
            simulation.start_server(number)
        lasting = [
            group.create_task(run_endlessly(simulation.runner, simulation.rng, lambda: simulation.is_calm))
            for _ in range(plan.runners)
        ]
        clients = [group.create_task(simulation.client(number)) for number in range(plan.executions)]
        lasting.append(group.create_task(simulation.person()))
        async with asyncio.TaskGroup() as nemeses:
            for _ in range(2):
                nemeses.create_task(inject_faults(simulation, plan.faults // 2))
        await simulation.calm(clients)
        wrong, rows = await judge(simulation, clients)
        for number in range(plan.servers):
            await simulation.kill_server(number)
        for task in [*lasting, *clients]:
            task.cancel()
    if wrong:
        raise Violation(f"seed {plan.seed} ({plan}): " + "\n".join(wrong[:10]))
    return Result(
        plan=plan,
        phases=Counter(str(row.phase) for row in rows),
        attention=Counter(str(row.attention.code) for row in rows if row.attention),
        faults=simulation.faults,
        effects=len(simulation.ledger.effects),
        calls=simulation.temporal.calls,
    )
