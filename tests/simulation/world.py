"""One seed: the whole core on virtual time, a nemesis that hurts it, and invariants that watch every commit.

Everything of ours is real (store, connection, gateway, dispatcher, canceller, reconciler, acceptor, reporter,
performance); Temporal, the network and the machines are not. After the faults stop, all must end or be shown.
"""

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sqlalchemy import Engine, text

from stigmer_cli.domain.execution import AgentSpec, AttentionCode, EventType, Execution
from stigmer_cli.domain.identity import AgentId, ExecutionId, workflow_id
from stigmer_cli.domain.phase import Phase, may_move
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.accept import Acceptor, Wish
from stigmer_cli.executions.bell import Bell
from stigmer_cli.executions.canceller import Canceller
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.mint import Mint
from stigmer_cli.executions.reconcile.reconciler import Reconciler
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.gateway import Gateway, RunState
from tests.fakes_temporal import LoopClock, VirtualLoop
from tests.simulation.runner import Ledger, Road, ServerDied, SimRunner, endless
from tests.simulation.store import empty, memory_store
from tests.simulation.temporal import SimTemporal, fine

CALM_S = 180.0
ENDINGS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})


class QuickLoop(VirtualLoop):
    """The virtual loop, for thousands of seeds: it looks at the first timer instead of at all."""

    def _run_once(self) -> None:
        inner = cast("Any", self)
        while inner._scheduled and inner._scheduled[0].cancelled():
            inner._timer_cancelled_count -= 1
            heapq.heappop(inner._scheduled)._scheduled = False
        if not inner._ready:
            assert inner._scheduled or inner._stopping, "every task waits and no timer will wake any"
            if inner._scheduled:
                self._virtual_now = max(self._virtual_now, inner._scheduled[0].when())
        asyncio.SelectorEventLoop._run_once(inner)  # type: ignore[attr-defined]


class Violation(AssertionError):
    """Something that must never be true."""


@dataclass(frozen=True)
class Seen:
    """A row as it was after some commit."""

    phase: Phase
    epoch: int
    version: int


@dataclass
class Watcher:
    """Looks at a row after each commit that wrote about it; the first violation is kept, and ends the seed."""

    engine: Engine
    temporal: SimTemporal
    ledger: Ledger
    seen: dict[str, Seen] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def look(self, execution: ExecutionId) -> None:
        """Safety, now."""
        with self.engine.begin() as connection:
            query = text("SELECT phase, epoch, version, kind FROM executions WHERE id = :id")
            row = connection.execute(query, {"id": execution}).one_or_none()
            last = connection.execute(
                text("SELECT type FROM events WHERE execution_id = :id ORDER BY seq DESC LIMIT 1"), {"id": execution}
            ).scalar()
        if row is None:  # listeners are also told of a commit that failed
            if execution in self.seen:
                self._wrong(f"{execution} is gone")
            return
        now = Seen(phase=Phase(row.phase), epoch=row.epoch, version=row.version)
        before = self.seen.get(execution)
        self.seen[execution] = now
        if before is not None:
            self._compare(execution, before, now)
        if now.phase is Phase.PENDING and self.ledger.runs_of(execution, now.epoch):
            self._wrong(f"{execution} is PENDING, and a run had effects in epoch {now.epoch}")
        if len(self.ledger.runs_of(execution, now.epoch)) > 1:
            self._wrong(f"I1: two runs had effects in epoch {now.epoch} of {execution}")
        if last == EventType.ORPHANED and workflow_id(row.kind, execution, now.epoch) not in self.temporal.forgotten:
            self._wrong(f"I6: {execution} was submitted again though Temporal never forgot it")

    def _compare(self, execution: str, before: Seen, now: Seen) -> None:
        if now.version < before.version or now.epoch < before.epoch:
            self._wrong(f"{execution} went back: {before} to {now}")
        if now.phase is not before.phase and not may_move(before.phase, now.phase):
            self._wrong(f"{execution} moved from {before.phase} to {now.phase}")
        if before.phase is Phase.IN_PROGRESS and now.phase is Phase.PENDING and now.epoch == before.epoch:
            self._wrong(f"{execution} went back to PENDING in the same epoch")

    def _wrong(self, what: str) -> None:
        self.violations.append(what)


@dataclass
class Server:
    """The server process: what `serve` makes, without HTTP."""

    connection: Connection
    dispatcher: Dispatcher
    acceptor: Acceptor
    loops: list[Callable[[], Awaitable[None]]]

    @classmethod
    def build(cls, store: Store, temporal: SimTemporal, bell: Bell, mint: Mint) -> "Server":
        clock, rng = temporal.clock, random.Random(temporal.rng.random())
        target = Target(address="127.0.0.1:7233")
        connection = Connection(target, clock=clock, rng=rng, identity="server", dialer=temporal)
        gateway = Gateway(connection, clock=clock, rng=rng)
        dispatcher = Dispatcher(store, gateway, connection, clock=clock, rng=rng)
        canceller = Canceller(store, gateway, connection)
        reconciler = Reconciler(store, gateway, connection, clock=clock, resubmitted=dispatcher.nudge)
        acceptor = Acceptor(store, connection, dispatcher, bell, clock=clock, mint=mint)
        return cls(connection, dispatcher, acceptor, [connection.run, dispatcher.run, canceller.run, reconciler.run])

    async def run(self) -> None:
        """All loops until cancelled, or until one of them dies."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in self.loops:
                    group.create_task(_awaited(loop))
        except* ServerDied:
            pass  # that is what it was to do


async def _awaited(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of what; `remembers`: no fault makes Temporal lose or end a workflow."""

    seed: int
    executions: int = 12
    faults: int = 8
    servers: int = 1
    runners: int = 2
    remembers: bool = False


def plan_of(seed: int) -> Plan:
    """What a seed plays: every second one has two servers, every third a Temporal that remembers everything."""
    return Plan(seed=seed, executions=6 if seed % 5 else 20, servers=1 + seed % 2, remembers=seed % 3 == 0, faults=8)


@dataclass
class Result:
    """What came of a seed."""

    plan: Plan
    phases: Counter[str]
    attention: Counter[str]
    faults: Counter[str]
    effects: int
    calls: int


class Simulation:
    """The parts of one seed."""

    def __init__(self, plan: Plan, engine: Engine, store: Store, group: asyncio.TaskGroup) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.store = store
        self.group = group
        self.temporal = SimTemporal(rng=random.Random(plan.seed + 1), group=group)
        self.ledger = Ledger()
        self.road = Road()
        self.bell = Bell()
        self.watcher = Watcher(engine, self.temporal, self.ledger)
        self.mint = Mint(self.temporal.clock, random.Random(plan.seed + 2))
        self.servers: list[Server | None] = [None] * plan.servers
        self.processes: list[asyncio.Task[None] | None] = [None] * plan.servers
        self.acknowledged: dict[str, ExecutionId] = {}
        self.faults: Counter[str] = Counter()
        self.is_calm = False
        store.events.on_change = self._changed

    def _changed(self, execution: ExecutionId) -> None:
        self.bell.ring(execution)
        self.watcher.look(execution)

    # -- processes

    def start_server(self, number: int) -> None:
        server = Server.build(self.store, self.temporal, self.bell, self.mint)
        self.servers[number] = server
        self.processes[number] = self.group.create_task(server.run())
        self.road.is_open = True

    async def kill_server(self, number: int) -> None:
        process = self.processes[number]
        self.servers[number] = None
        self.road.is_open = any(self.servers)
        if process is not None:
            process.cancel()
            await asyncio.wait([process])

    def a_server(self) -> Server | None:
        living = [server for server in self.servers if server is not None]
        return self.rng.choice(living) if living else None

    def runner(self) -> SimRunner:
        identity = f"runner-{self.rng.getrandbits(32):08x}"
        return SimRunner(identity, self.temporal, self.store, self.road, self.ledger)

    # -- workload

    async def client(self, number: int) -> None:
        """One person who wants one execution, asks until told, and sometimes changes their mind."""
        await asyncio.sleep(self.rng.uniform(0, 20))
        wish = Wish(agent="greeter", message=f"wish {number}", idempotency_key=f"key-{number}")
        while True:
            server = self.a_server()
            if server is not None:
                with suppress(StigmerError, TimeoutError):
                    async with asyncio.timeout(self.rng.choice([0.002, 0.1, 3.0])):
                        execution = await server.acceptor.accept(wish, policy=SubmitPolicy.QUEUE)
                        if self.rng.random() > 0.1:
                            self.acknowledged[f"key-{number}"] = execution.id
                            break
            await asyncio.sleep(self.rng.uniform(0.1, 1.0))
        if self.rng.random() < 0.1:
            await asyncio.sleep(self.rng.uniform(0, 3))
            await self.store.executions.request_cancel(self.acknowledged[f"key-{number}"])

    async def person(self) -> None:
        """Starts a lost one over, now and then."""
        while not self.is_calm:
            await asyncio.sleep(self.rng.uniform(2, 10))
            page = await self.store.executions.list(Filter(needs_attention=True), limit=50)
            for row in page.items:
                is_lost = row.attention is not None and row.attention.code is AttentionCode.LOST
                if is_lost and self.rng.random() < 0.5:
                    await self.store.executions.start_over(row.id, epoch=row.epoch, version=row.version)

    # -- the nemesis

    async def nemesis(self, faults: int) -> None:
        kinds = sorted(FAULTS) if self.plan.remembers else sorted(FAULTS | FORGETTING)
        for _ in range(faults):
            await asyncio.sleep(self.rng.uniform(0.1, 4))
            kind = self.rng.choice(kinds)
            self.faults[kind] += 1
            await (FAULTS | FORGETTING)[kind](self)

    async def calm(self, clients: Sequence[asyncio.Task[None]]) -> None:
        """All faults stop; then everything has time to end."""
        self.is_calm = True
        self.temporal.weather = fine()
        self.road.lose_request = self.road.lose_reply = self.road.late_s = 0.0
        self.road.is_open = True
        for number, server in enumerate(self.servers):
            if server is None:
                self.start_server(number)
        until_s = self.temporal.clock.monotonic() + CALM_S
        while self.temporal.clock.monotonic() < until_s and not await self._is_settled(clients):  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(2.0)

    async def _is_settled(self, clients: Sequence[asyncio.Task[None]]) -> bool:
        page = await self.store.executions.list(Filter(), limit=500)
        is_over = all(row.phase.is_terminal or row.attention is not None for row in page.items)
        is_open = any(run.state is RunState.OPEN for run in self.temporal.runs.values())
        return all(client.done() for client in clients) and is_over and not is_open


Fault = Callable[[Simulation], Awaitable[None]]


def _weather(**change: float | bool) -> Fault:
    async def fault(simulation: Simulation) -> None:
        weather = simulation.temporal.weather
        for name, value in change.items():
            setattr(weather, name, value)
        await asyncio.sleep(simulation.rng.choice([0.05, 0.5, 3.0, 8.0]))
        for name in change:
            setattr(weather, name, getattr(fine(), name))

    return fault


def _road(**change: float) -> Fault:
    async def fault(simulation: Simulation) -> None:
        for name, value in change.items():
            setattr(simulation.road, name, value)
        await asyncio.sleep(simulation.rng.uniform(0.5, 6))
        for name in change:
            setattr(simulation.road, name, 0.0)

    return fault


async def _crash(simulation: Simulation) -> None:
    number = simulation.rng.randrange(simulation.plan.servers)
    if simulation.servers[number] is not None:
        await simulation.kill_server(number)
        await asyncio.sleep(simulation.rng.choice([0.01, 1.0, 8.0]))
        simulation.start_server(number)


async def _wipe(simulation: Simulation) -> None:
    simulation.temporal.weather.is_up = False
    await asyncio.sleep(simulation.rng.uniform(0, 2))
    simulation.temporal.wipe()
    simulation.temporal.weather.is_up = True


async def _older_copy(simulation: Simulation) -> None:
    temporal = simulation.temporal
    copy = {name: replace(run, token=0, lease_s=None) for name, run in temporal.runs.items()}
    await asyncio.sleep(simulation.rng.uniform(0.5, 6))
    temporal.weather.is_up = False
    await asyncio.sleep(simulation.rng.uniform(0, 2))
    temporal.forgotten |= temporal.runs.keys()
    temporal.runs = copy
    temporal.weather.is_up = True


async def _retention(simulation: Simulation) -> None:
    simulation.temporal.forget_closed()


async def _terminate(simulation: Simulation) -> None:
    open_ones = [run for run in simulation.temporal.runs.values() if run.state is RunState.OPEN]
    if open_ones:
        simulation.temporal.terminate(simulation.rng.choice(open_ones))


FAULTS: dict[str, Fault] = {
    "T1 temporal killed": _weather(is_up=False),
    "T4 temporal frozen": _weather(is_frozen=True),
    "T6 temporal slow": _weather(slow_s=0.7),
    "T9 namespace missing": _weather(has_namespace=False),
    "T12 throttled": _weather(throttled=0.5, not_serving=0.3),
    "T13 not serving": _weather(not_serving=1.0),
    "T14 denied": _weather(is_denied=True),
    "N3 replies lost": _weather(lose_reply=0.5),
    "N4 requests lost": _weather(lose_request=0.5),
    "N5 starts arrive late": _weather(late=0.5),
    "R2 reports late": _road(late_s=5.0),
    "R5 reports lost": _road(lose_request=0.3, lose_reply=0.3),
    "S3 server killed": _crash,
}
FORGETTING: dict[str, Fault] = {
    "T7 temporal emptied": _wipe,
    "T8 temporal from an older copy": _older_copy,
    "T10 retention": _retention,
    "terminated by hand": _terminate,
}


def play(plan: Plan, engine: Engine) -> Result:
    """Play one seed to its end; raises Violation, with the seed in its words."""
    empty(engine)
    try:
        with asyncio.Runner(loop_factory=QuickLoop) as runner:
            return runner.run(_play(plan, engine))
    except Violation as violation:
        raise Violation(f"{violation}\nagain: python -m tests.simulation.run --first {plan.seed} --seeds 1") from None


async def _play(plan: Plan, engine: Engine) -> Result:
    store = await memory_store(engine, clock=LoopClock(), rng=random.Random(plan.seed + 3))
    agent = AgentDraft(
        id=AgentId("agt-00000000000000000000000000"), name="Greeter", slug="greeter", spec=AgentSpec(model="simulated")
    )
    await store.agents.apply([agent])
    async with asyncio.TaskGroup() as group:
        simulation = Simulation(plan, engine, store, group)
        for number in range(plan.servers):
            simulation.start_server(number)
        lasting = [
            group.create_task(endless(simulation.runner, simulation.rng, lambda: simulation.is_calm))
            for _ in range(plan.runners)
        ]
        clients = [group.create_task(simulation.client(number)) for number in range(plan.executions)]
        lasting.append(group.create_task(simulation.person()))
        async with asyncio.TaskGroup() as nemeses:
            for _ in range(2):
                nemeses.create_task(simulation.nemesis(plan.faults // 2))
        await simulation.calm(clients)
        wrong, rows = await judged(simulation, clients)
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


async def judged(
    simulation: Simulation, clients: Sequence[asyncio.Task[None]]
) -> tuple[Sequence[str], Sequence[Execution]]:
    """What is wrong at the end (safety on the way included), and the rows."""
    wrong = list(simulation.watcher.violations)
    if not all(client.done() for client in clients):
        wrong.append("a client still waits for its answer")
    page = await simulation.store.executions.list(Filter(), limit=500)
    rows = {row.id: row for row in page.items}
    wrong += [
        f"I3: {key} was acknowledged as {id_}, which is gone"
        for key, id_ in simulation.acknowledged.items()
        if id_ not in rows
    ]
    if len(rows) != simulation.plan.executions:
        wrong.append(f"{simulation.plan.executions} wishes made {len(rows)} executions")
    for row in rows.values():
        wrong += [f"{row.id}: {words}" for words in await _of(simulation, row)]
    wrong += [
        f"{run.name} is still open in Temporal, at {run.stage} {run.attempt}"
        for run in simulation.temporal.runs.values()
        if run.state is RunState.OPEN
    ]
    return wrong, list(rows.values())


async def _of(simulation: Simulation, row: Execution) -> list[str]:
    """What is wrong with one execution at the end."""
    wrong = []
    if not row.phase.is_terminal and row.attention is None:
        wrong.append(f"L2: still {row.phase}, submitted: {row.dispatch.is_submitted}, and nobody is told")
    if simulation.plan.remembers and row.attention is not None:
        wrong.append(f"needs a person though Temporal remembered everything: {row.attention}")
    events = [event.type for event in await simulation.store.events.list(row.id)]
    epochs = events.count(EventType.STARTED_OVER) + 1
    if epochs != row.epoch or events.count(EventType.CLAIMED) > epochs:
        wrong.append(f"{events.count(EventType.CLAIMED)} claims in {row.epoch} epochs")
    if sum(event in ENDINGS for event in events) != row.phase.is_terminal:
        wrong.append(f"its ends in the timeline: {[event for event in events if event in ENDINGS]}")
    return wrong + _of_effects(simulation, row)


def _of_effects(simulation: Simulation, row: Execution) -> list[str]:
    wrong = [
        f"I1: two runs had effects in epoch {epoch}"
        for epoch in range(1, row.epoch + 1)
        if len(simulation.ledger.runs_of(row.id, epoch)) > 1
    ]
    if row.phase is Phase.COMPLETED and not simulation.ledger.runs_of(row.id, row.epoch):
        wrong.append("COMPLETED without an effect")
    if row.phase is Phase.COMPLETED and (row.output or "").split()[:2] != [row.id, str(row.epoch)]:
        wrong.append(f"its output is another one's: {row.output!r}")
    return wrong
