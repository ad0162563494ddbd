"""Harness of the reconcile tests: rows as a case wants them, a Temporal beside them, and what happens in between."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import AttentionCode, EventType, Execution, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId, Kind, RunId, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import OperationFailed, StigmerError, TemporalUnavailable
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.reconcile.apply import Applied
from stigmer_cli.executions.reconcile.on_request import ReconcileJob, Reconciling
from stigmer_cli.executions.reconcile.scan import ReconcileScope
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.errors import Misconfigured
from stigmer_cli.temporal.gateway import Observed, RunState
from tests.support.fakes import SwitchedLink
from tests.support.fakes_temporal import InMemoryGateway
from tests.support.ids import claim, workflow
from tests.support.moves import mark_attention, mark_submitted, requeue, start_over
from tests.support.records import SENDING, Recorded

TROUBLES: dict[str, StigmerError] = {
    "unreachable": TemporalUnavailable("Temporal at 127.0.0.1:7233 cannot be reached"),
    "no namespace": Misconfigured('Temporal at 127.0.0.1:7233 has no namespace "default"'),
    "anything else": OperationFailed("what does that mean?"),
}
ANOTHER = RunId("00000000-0000-7000-8000-00000000dead")


class Standing(StrEnum):
    """How far a row has come in its epoch."""

    QUEUED = "queued"
    REFUSED = "refused"
    SUBMITTED = "submitted"
    CLAIMED = "claimed"


class Race(StrEnum):
    """What somebody else does to a row between the look at Temporal and the write."""

    NOTHING = "nothing"
    CLAIM = "claim"
    END = "end"
    CANCEL = "cancel"
    MARK = "mark"
    RECONCILE = "reconcile"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row, the Temporal beside it, and what happens meanwhile. `state` None: no workflow.

    `is_elsewhere`: another Temporal took it, which is why there is no workflow. `is_in_the_air`: a step of it may have
    had an effect that must not happen twice.
    """

    standing: Standing
    epoch: int
    state: RunState | None
    is_another_run: bool
    is_elsewhere: bool = False
    is_in_the_air: bool = False
    trouble: str | None
    mark: AttentionCode | None
    is_unwanted: bool
    race: Race


class EventfulGateway(InMemoryGateway):
    """A Temporal during whose answers something may happen to the row; in trouble about some executions only."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.troubles: dict[ExecutionId, StigmerError] = {}
        self.meanwhile: dict[ExecutionId, Callable[[], Awaitable[None]]] = {}

    async def describe(self, workflow: WorkflowName) -> Observed | None:
        answer = await super().describe(workflow)
        if happens := self.meanwhile.pop(workflow.execution, None):
            await happens()
        if workflow.execution in self.troubles:
            raise self.troubles[workflow.execution]
        return answer


class ReconcileHarness:
    """A store, a Temporal, and the parts between them."""

    def __init__(self, store: Store) -> None:
        clock, rng = SystemClock(), random.Random(7)
        self.store = store
        self.in_the_air: set[ExecutionId] = set()
        store.progress = Recorded(SENDING, self.in_the_air)  # type: ignore[assignment] # it behaves as a record does
        self.gateway, self.link, self.ids = EventfulGateway(), SwitchedLink(), IdGenerator(clock, rng)
        self.dispatcher = Dispatcher(store, self.gateway, self.link, clock=clock, rng=rng)
        self.reconciling = Reconciling(store, self.gateway, self.link, self.dispatcher, clock=clock)

    async def put(self, case: Case) -> Execution:
        """A row as the case wants it, made by the moves that make it in life."""
        rows, id_ = self.store.executions, self.ids.execution_id(Kind.AGENT)
        agent = (await self.store.agents.list(limit=1))[0]
        draft = ExecutionDraft(id=id_, kind=Kind.AGENT, agent_id=agent.id, agent_name="greeter", message="hello")
        await rows.accept(draft, reason=QueueReason.ACCEPTED, detail="")
        if case.epoch > 1:
            await self._submit(id_, 1)
            await claim(self.store, id_, epoch=1, run=RunId("run-of-epoch-1"), runner="r")
            await start_over(self.store, id_, epoch=1, version=(await rows.get(id_)).version)
        await self._advance(id_, case)
        if case.mark and case.standing in {Standing.SUBMITTED, Standing.CLAIMED}:
            await mark_attention(self.store, id_, epoch=case.epoch, version=None, code=case.mark, reason="because")
        if case.is_unwanted:
            await rows.request_cancel(id_)
        if case.is_in_the_air:
            self.in_the_air.add(id_)
        if case.trouble:
            self.gateway.troubles[id_] = TROUBLES[case.trouble]
        if case.race is not Race.NOTHING:
            self.gateway.meanwhile[id_] = lambda: self._meanwhile(id_, case)
        return await rows.get(id_)

    async def _advance(self, id_: ExecutionId, case: Case) -> None:
        if case.standing is Standing.QUEUED:
            return
        if case.standing is Standing.REFUSED:
            now = SystemClock().now()
            await self.store.executions.mark_submit_failed(
                id_, epoch=case.epoch, detail="too large", next_try_at=now, attempts_max=1
            )
            return
        run_id = await self._submit(id_, case.epoch, cluster="cluster-0/namespace-0" if case.is_elsewhere else None)
        if case.standing is Standing.CLAIMED:
            await claim(self.store, id_, epoch=case.epoch, run=run_id, runner="r")
        name = workflow(id_, case.epoch, store=self.store.id).id
        if case.state is None:
            del self.gateway.runs[name]
            return
        self.gateway.close(name, case.state, "boom")
        if case.is_another_run:
            self.gateway.runs[name] = replace(self.gateway.runs[name], run_id=ANOTHER)

    async def _submit(self, id_: ExecutionId, epoch: int, cluster: str | None = None) -> RunId:
        started = await self.gateway.start(workflow(id_, epoch, store=self.store.id), timeout_s=None)
        await mark_submitted(
            self.store,
            id_,
            epoch=epoch,
            run_id=started.run_id,
            cluster=cluster or self.link.status().cluster or "",
            already=False,
        )
        return started.run_id

    async def _meanwhile(self, id_: ExecutionId, case: Case) -> None:
        rows, now = self.store.executions, await self.store.executions.get(id_)
        match case.race:
            case Race.CLAIM:
                await claim(self.store, id_, epoch=case.epoch, run=RunId("run-2"), runner="r")
            case Race.END:
                outcome = Outcome(phase=Phase.FAILED, error="so it is")
                await rows.conclude(id_, epoch=now.epoch, version=now.version, outcome=outcome, detail="elsewhere")
            case Race.CANCEL:
                await rows.request_cancel(id_)
            case Race.MARK:
                code = AttentionCode.SUBMIT_FAILED
                await mark_attention(self.store, id_, epoch=case.epoch, version=None, code=code, reason="by another")
            case Race.RECONCILE:
                expected = {"epoch": now.epoch, "version": now.version}
                if not await requeue(self.store, id_, reason=QueueReason.ORPHANED, detail="by another", **expected):
                    await start_over(self.store, id_, **expected)
            case Race.NOTHING:
                pass
        self.gateway.meanwhile.pop(id_, None)

    async def reconcile(self, rules: Rules, *, is_dry_run: bool = False, asked_by: str = "a test") -> Sequence[Applied]:
        """Every execution examined, and what became of it."""
        wanted = ReconcileJob(scope=ReconcileScope(), rules=rules, is_dry_run=is_dry_run, asked_by=asked_by)
        return [applied async for applied in self.reconciling.run(wanted)]

    async def event_types(self, id_: ExecutionId) -> list[EventType]:
        """The types of its events, in order."""
        return [event.type for event in await self.store.events.list(id_)]

    async def end_all(self) -> None:
        """Leave nothing open for the next example."""
        outcome = Outcome(phase=Phase.FAILED, error="the example is over")
        aged = Aged.by(SystemClock().now(), s=0)
        while open_ := await self.store.executions.open_after(aged=aged, after=None, limit=500):
            for row in open_:
                await self.store.executions.conclude(
                    row.id, epoch=row.epoch, version=row.version, outcome=outcome, detail=""
                )
        self.gateway.troubles.clear()
        self.gateway.meanwhile.clear()

    async def until_drained(self) -> None:
        """Return once the dispatcher has submitted everything that was queued."""
        async with asyncio.timeout(10):
            while await self.store.executions.queued_count():  # noqa: ASYNC110 - the store is looked at
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def dispatching(self) -> AsyncIterator[None]:
        """The dispatcher is at work within the block."""
        async with asyncio.TaskGroup() as group:
            loop = group.create_task(self.dispatcher.run(), name="dispatcher")
            yield
            loop.cancel()
