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
from typing import cast

from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.domain.execution import AttentionCode, Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.step import Effect, StepState
from stigmer_cli.errors import StigmerError, Unavailable
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import OPEN
from stigmer_cli.temporal.gateway import RunState
from tests.simulation.loop import QuickLoop
from tests.simulation.reports import RunnerLink
from tests.simulation.runner import Ledger, SimRunner
from tests.simulation.server import Server
from tests.simulation.steps import STEP_MARKS
from tests.simulation.store import Memory
from tests.simulation.temporal import SimTemporal
from tests.simulation.temporal_state import no_faults
from tests.simulation.watcher import Watcher
from tests.simulation.workflow_workload import choose_workflow, make_input, publish_events
from tests.support.moves import retry_attention, start_over

CALM_S = 180.0
LOOK_S = 1.0
SKIPPED_MIN_S = 30.0
SKIPS_MAX = 40
"""More than there are long waits: one that begins anew each time never ends."""

UNENDED = f"SELECT id FROM executions WHERE {OPEN.text} LIMIT 1"  # noqa: S608 - all ours
IN_THE_AIR = f"""SELECT 1 FROM steps WHERE execution_id = executions.id AND (
    state = '{StepState.UNKNOWN}' OR (state = '{StepState.BEGUN}' AND effect = '{Effect.ONCE}'))"""  # noqa: S608 - all ours
UNSETTLED = UNENDED.replace(
    " LIMIT",
    f" AND (attention_code IS NULL OR (attention_code = '{AttentionCode.LOST}' AND NOT EXISTS ({IN_THE_AIR}))) LIMIT",
)
"""What is marked waits for a person, unless the missing result of its step came after the mark."""
AT_WORK = UNENDED.replace(
    " LIMIT", " AND coalesce(waiting_for, 'retries') IN ('retries', 'limit', 'tool-server') LIMIT"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of what; `remembers`: no fault makes Temporal lose or end a workflow.

    `workflows` is the share of executions of workflows. With any, a person decides about all that is left in the end.
    `kinds` are the only kinds of faults, if there are any.
    """

    seed: int
    executions: int = 12
    within_s: float = 20.0
    faults: int = 8
    servers: int = 1
    runners: int = 2
    remembers: bool = False
    workflows: float = 0.0
    kinds: Sequence[str] = ()


def plan_of(seed: int) -> Plan:
    """The plan of a seed: many have two servers, every third a Temporal that remembers everything.

    Most are short, so that many can be played; every tenth is four times as large. Every fourth has workflows.
    """
    workflows = 0.6 if seed % 4 == 1 else 0.0
    plan = Plan(seed=seed, servers=2 if seed % 7 < 3 else 1, remembers=seed % 3 == 0, workflows=workflows)
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
        self.link = RunnerLink(server=self.a_server)
        self.notifier = Notifier()
        self.watcher = Watcher(memory, self.temporal, self.ledger)
        self.ids = IdGenerator(self.temporal.clock, random.Random(plan.seed + 2))
        self.servers: list[Server | None] = [None] * plan.servers
        self.processes: list[asyncio.Task[None] | None] = [None] * plan.servers
        self.acknowledged: dict[str, ExecutionId] = {}
        self.faults: Counter[str] = Counter()
        self.decided: list[ResumeOutcome] = []
        self.is_calm = False
        self.skips = 0
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
        request = self._make_request(number)
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
        elif request.workflow is not None:
            await publish_events(self, request.message)

    def _make_request(self, number: int) -> SubmitRequest:
        key, workflow = f"key-{number}", choose_workflow(self.plan.seed, number, self.plan.workflows)
        if workflow is None:
            return SubmitRequest(agent="greeter", message=f"request {number}", idempotency_key=key)
        return SubmitRequest(
            agent="", workflow=f"chaos/{workflow}", message=make_input(f"order-{number}"), idempotency_key=key
        )

    async def person(self) -> None:
        """Starts over what was interrupted too often, and decides about steps in the air, now and then."""
        while not self.is_calm or self.plan.workflows:
            await asyncio.sleep(self.rng.uniform(3, 10))
            with suppress(Unavailable):
                await self._decide_all()

    async def _decide_all(self) -> None:
        page = await self.store.executions.list(Filter(needs_attention=True), limit=50)
        for row in page.items:
            if self.rng.random() < 0.5:
                await self._take_way_out(row)
        page = await self.store.executions.list(Filter(waiting=True), limit=50)
        for row in page.items:
            if row.waiting is not None and row.waiting.wait_for.is_pause:
                await self.store.resuming.resume(row.id, Decision())

    async def _take_way_out(self, row: Execution) -> None:
        code = row.attention.code if row.attention else None
        is_without_outcome = code is AttentionCode.RESULT_UNKNOWN and self.plan.workflows > 0
        if code is AttentionCode.KEEPS_INTERRUPTED or is_without_outcome:
            await start_over(self.store, row.id, epoch=row.epoch, version=row.version)
        elif code in STEP_MARKS:
            await self._decide(row)
        elif code is AttentionCode.SUBMIT_FAILED and self.plan.workflows:
            await retry_attention(self.store, row.id, version=row.version)

    async def _decide(self, row: Execution) -> None:
        """Have the step in the air performed again, or go on without it."""
        air = [step.key for step in await self.store.steps.list_last(row.id, limit=200) if step.is_in_the_air]
        named = [key for key in air if row.attention is not None and f"step {key} " in row.attention.reason]
        key = next(iter(named or air), None)
        if self.rng.random() < 0.5 and (row.id, key) not in self.ledger.steps.allowed:
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
        while self.temporal.clock.monotonic() < until_s and not self._is_settled(clients):
            await asyncio.sleep(LOOK_S)
            if await self.skip_wait(clients):
                until_s = self.temporal.clock.monotonic() + CALM_S

    async def skip_wait(self, clients: Sequence[asyncio.Task[None]]) -> bool:
        """Let the time pass until shortly before the next wait ends, if all that is open waits; whether it did."""
        due_at = await self.store.waits.next_due_at()
        left_s = 0.0 if due_at is None else (due_at - self.temporal.clock.now()).total_seconds()
        if left_s < SKIPPED_MIN_S or self.skips == SKIPS_MAX or not self._is_quiet(clients, AT_WORK):
            return False
        self.skips += 1
        cast("QuickLoop", asyncio.get_running_loop()).skip(left_s - self.rng.uniform(0, 5))
        return True

    def _is_settled(self, clients: Sequence[asyncio.Task[None]]) -> bool:
        return self._is_quiet(clients, UNENDED if self.plan.workflows else UNSETTLED)

    def _is_quiet(self, clients: Sequence[asyncio.Task[None]], none_of: str) -> bool:
        is_open = any(run.state is RunState.OPEN for run in self.temporal.runs.values())
        if is_open or not all(client.done() for client in clients):
            return False
        return self.memory.row(none_of) is None
