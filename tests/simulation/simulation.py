"""The parts of one seed: servers, runners, clients and a person who decides, on one store and one Temporal.

Everything of ours is real (store, connection, gateway, dispatcher, canceller, reconciler, acceptor, reporter,
performance); Temporal, the network and the machines are not.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.domain.execution import AttentionCode, Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import OPEN
from stigmer_cli.temporal.gateway import RunState
from tests.simulation.runner import Ledger, RunnerLink, SimRunner
from tests.simulation.server import Server
from tests.simulation.steps import STEP_MARKS
from tests.simulation.store import Memory
from tests.simulation.temporal import SimTemporal
from tests.simulation.temporal_state import no_faults
from tests.simulation.watcher import Watcher
from tests.support.moves import start_over

CALM_S = 180.0
LOOK_S = 1.0
UNSETTLED = f"SELECT id FROM executions WHERE {OPEN.text} AND attention_code IS NULL LIMIT 1"  # noqa: S608 - all ours


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of what; `remembers`: no fault makes Temporal lose or end a workflow."""

    seed: int
    executions: int = 12
    within_s: float = 20.0
    faults: int = 8
    servers: int = 1
    runners: int = 2
    remembers: bool = False


def plan_of(seed: int) -> Plan:
    """The plan of a seed: many have two servers, every third a Temporal that remembers everything.

    Most are short, so that many can be played; every tenth is four times as large.
    """
    plan = Plan(seed=seed, servers=2 if seed % 7 < 3 else 1, remembers=seed % 3 == 0)
    return plan if seed % 10 == 0 else replace(plan, executions=3, within_s=6.0, faults=6)


class Simulation:
    """The parts of one seed."""

    def __init__(self, plan: Plan, memory: Memory, store: Store, group: asyncio.TaskGroup) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.memory = memory
        self.store = store
        self.group = group
        self.temporal = SimTemporal(rng=random.Random(plan.seed + 1), group=group)
        self.ledger = Ledger()
        self.link = RunnerLink()
        self.notifier = Notifier()
        self.watcher = Watcher(memory, self.temporal, self.ledger)
        self.ids = IdGenerator(self.temporal.clock, random.Random(plan.seed + 2))
        self.servers: list[Server | None] = [None] * plan.servers
        self.processes: list[asyncio.Task[None] | None] = [None] * plan.servers
        self.acknowledged: dict[str, ExecutionId] = {}
        self.faults: Counter[str] = Counter()
        self.decided: list[ResumeOutcome] = []
        self.is_calm = False
        store.events.on_change = self._changed

    def _changed(self, execution: ExecutionId) -> None:
        self.notifier.notify(execution)
        self.watcher.look(execution)

    # -- processes

    def start_server(self, number: int) -> None:
        server = Server.build(self.store, self.temporal, self.notifier, self.ids)
        self.servers[number] = server
        self.processes[number] = self.group.create_task(server.run())
        self.link.is_open = True

    async def kill_server(self, number: int) -> None:
        process = self.processes[number]
        self.servers[number] = None
        self.link.is_open = any(self.servers)
        if process is not None:
            process.cancel()
            await asyncio.wait([process])

    def a_server(self) -> Server | None:
        living = [server for server in self.servers if server is not None]
        return self.rng.choice(living) if living else None

    def runner(self) -> SimRunner:
        identity = f"runner-{self.rng.getrandbits(32):08x}"
        return SimRunner(identity, self.temporal, self.store, self.link, self.ledger)

    # -- workload

    async def client(self, number: int) -> None:
        """One person who wants one execution, asks until told, and sometimes changes their mind."""
        await asyncio.sleep(self.rng.uniform(0, self.plan.within_s))
        request = SubmitRequest(agent="greeter", message=f"request {number}", idempotency_key=f"key-{number}")
        while True:
            server = self.a_server()
            if server is not None:
                with suppress(StigmerError, TimeoutError):
                    async with asyncio.timeout(self.rng.choice([0.002, 0.1, 3.0])):
                        execution = await server.acceptor.accept(request, policy=SubmitPolicy.QUEUE)
                        if self.rng.random() > 0.1:
                            self.acknowledged[f"key-{number}"] = execution.id
                            break
            await asyncio.sleep(self.rng.uniform(0.1, 1.0))
        if self.rng.random() < 0.1:
            await asyncio.sleep(self.rng.uniform(0, 3))
            await self.store.executions.request_cancel(self.acknowledged[f"key-{number}"])

    async def person(self) -> None:
        """Starts over what was interrupted too often, and decides about steps in the air, now and then."""
        while not self.is_calm:
            await asyncio.sleep(self.rng.uniform(3, 10))
            page = await self.store.executions.list(Filter(needs_attention=True), limit=50)
            for row in page.items:
                is_left = row.attention is not None and row.attention.code is AttentionCode.KEEPS_INTERRUPTED
                if self.rng.random() < 0.5:
                    if is_left:
                        await start_over(self.store, row.id, epoch=row.epoch, version=row.version)
                    elif row.attention is not None and row.attention.code in STEP_MARKS:
                        await self._decide(row)

    async def _decide(self, row: Execution) -> None:
        """Have the step in the air performed again, or go on without it."""
        air = [step.key for step in await self.store.steps.list_last(row.id, limit=50) if step.is_in_the_air]
        key = air[0] if air else None
        if self.rng.random() < 0.5:
            decision = Decision(repeat=key)
            self.ledger.steps.forget(row.id, key or "")
        else:
            decision = Decision(skip=key, result='"skipped"')
        with suppress(StigmerError):  # its run may have recorded the step in the meantime
            self.decided.append((await self.store.resuming.resume(row.id, decision)).outcome)

    # -- the end

    async def calm(self, clients: Sequence[asyncio.Task[None]]) -> None:
        """End all faults, and wait until everything has ended."""
        self.is_calm = True
        self.temporal.conditions = no_faults()
        self.link.lose_request = self.link.lose_reply = self.link.late_s = 0.0
        self.link.is_open = True
        for number, server in enumerate(self.servers):
            if server is None:
                self.start_server(number)
        until_s = self.temporal.clock.monotonic() + CALM_S
        while self.temporal.clock.monotonic() < until_s and not self._is_settled(clients):  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(LOOK_S)

    def _is_settled(self, clients: Sequence[asyncio.Task[None]]) -> bool:
        is_open = any(run.state is RunState.OPEN for run in self.temporal.runs.values())
        if is_open or not all(client.done() for client in clients):
            return False
        return self.memory.row(UNSETTLED) is None
