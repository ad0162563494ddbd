"""One seed from beginning to end: the stack is built, faults are injected and end, and the result is judged."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.domain.execution import AgentSpec
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.agents import AgentDraft
from tests.simulation.judge import judge
from tests.simulation.loop import QuickLoop
from tests.simulation.nemesis import inject_faults
from tests.simulation.runner import run_endlessly
from tests.simulation.simulation import LOOK_S, Plan, Simulation
from tests.simulation.store import Memory, memory_store
from tests.simulation.watcher import Violation
from tests.simulation.workflow_workload import draft_workflows
from tests.support.fakes_temporal import LoopClock

QUIET_MAX_S = 120.0


@dataclass
class Result:
    """The result of a seed. `completed` and `failed` count by agent or workflow."""

    plan: Plan
    phases: Counter[str]
    attention: Counter[str]
    faults: Counter[str]
    effects: int
    calls: int
    completed: Counter[str]
    failed: Counter[str]


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
    if plan.workflows:
        await store.workflows.apply(draft_workflows())
    async with asyncio.TaskGroup() as group:
        simulation = Simulation(plan, memory, store, group)
        for number in range(plan.servers):
            simulation.start_server(number)
        lasting = [
            group.create_task(
                run_endlessly(simulation.runner, simulation.rng, lambda: simulation.is_calm or not plan.faults)
            )
            for _ in range(plan.runners)
        ]
        clients = [group.create_task(simulation.client(number)) for number in range(plan.executions)]
        lasting.append(group.create_task(simulation.person()))
        async with asyncio.TaskGroup() as nemeses:
            for _ in range(2):
                nemeses.create_task(inject_faults(simulation, plan.faults // 2))
        if plan.workflows:
            await _hurt_what_wakes(simulation, clients)
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
        completed=Counter(row.agent_name for row in rows if row.phase is Phase.COMPLETED),
        failed=Counter(row.agent_name for row in rows if row.phase is Phase.FAILED),
    )


async def _hurt_what_wakes(simulation: Simulation, clients: Sequence[asyncio.Task[None]]) -> None:
    """Inject more faults while the first of the long waits ends."""
    until_s = simulation.temporal.clock.monotonic() + QUIET_MAX_S
    while simulation.temporal.clock.monotonic() < until_s:
        await asyncio.sleep(LOOK_S)
        if await simulation.skip_wait(clients):
            await inject_faults(simulation, simulation.plan.faults // 2)
            return
