"""Reconciling on request beside a dispatcher at work: what is told is what became of each, in order."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.findings import ReconcileOutcome
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import Execution, Outcome
from stigmer_cli.domain.identity import ExecutionId, Kind, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.reconcile import await_submitted, on_request
from stigmer_cli.executions.reconcile.apply import Applied
from stigmer_cli.executions.reconcile.lease import LEASE_S, RENEW_S, hold_lease
from stigmer_cli.executions.reconcile.on_request import ReconcileJob, Reconciling
from stigmer_cli.executions.reconcile.scan import ReconcileScope
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.temporal.errors import SubmitRejected
from stigmer_cli.temporal.gateway import Started
from tests.integration.executions.conftest import Harness, submitted
from tests.support.fakes import ManualClock
from tests.support.fakes_temporal import InMemoryGateway

WANTED = ReconcileJob(scope=ReconcileScope(), rules=Rules(grace_s=0.0), is_dry_run=False, asked_by="a test")


class PickyGateway(InMemoryGateway):
    """Refuses some executions for good."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.refused: set[ExecutionId] = set()

    async def start(self, workflow: WorkflowName, *, timeout_s: float | None) -> Started:
        if workflow.execution in self.refused:
            raise SubmitRejected("blob too large")
        return await super().start(workflow, timeout_s=timeout_s)


@asynccontextmanager
async def _dispatching(harness: Harness, gateway: PickyGateway) -> AsyncIterator[Reconciling]:
    clock = SystemClock()
    dispatcher = Dispatcher(harness.store, gateway, harness.link, clock=clock, rng=random.Random(1))
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(dispatcher.run())
        yield Reconciling(harness.store, gateway, harness.link, dispatcher, clock=clock)
        loop.cancel()


async def _orphans(harness: Harness, number: int) -> list[Execution]:
    harness.link.put(ConnectionState.DISCONNECTED)
    rows = [await harness.accept() for _ in range(number)]
    harness.link.put(ConnectionState.CONNECTED)
    await harness.dispatcher.run_once()
    return rows


async def _told(reconciling: Reconciling, wanted: ReconcileJob = WANTED) -> Sequence[Applied]:
    return [applied async for applied in reconciling.run(wanted)]


async def test_a_preview_leaves_out_what_ended_while_temporal_was_asked(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.link.put(ConnectionState.CONNECTED)
    execution, orphan = await submitted(harness), await submitted(harness)
    run = execution.dispatch.run_id
    assert run is not None
    harness.gateway.forget()

    async def find_nothing_late(name: WorkflowName) -> None:
        if name.execution == execution.id:
            outcome = Outcome(phase=Phase.COMPLETED, output="done")
            await harness.store.runs.finish(execution.id, epoch=1, run=run, attempt=None, outcome=outcome)

    monkeypatch.setattr(harness.gateway, "describe", find_nothing_late)
    told = await _told(
        Reconciling(harness.store, harness.gateway, harness.link, harness.dispatcher, clock=SystemClock()),
        replace(WANTED, is_dry_run=True),
    )
    assert {one.move.execution.id: one.done for one in told} == {
        execution.id: ReconcileOutcome.CHANGED,
        orphan.id: ReconcileOutcome.PLANNED,
    }


async def test_a_limit_counts_what_is_repaired_so_that_the_next_call_finds_others(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stigmer_cli.executions.reconcile.scan.PAGE_MAX", 5)
    rows = await _orphans(harness, 12)
    wanted = replace(WANTED, scope=ReconcileScope(limit=5))
    async with _dispatching(harness, PickyGateway()) as reconciling:
        mended = [
            [
                one.move.execution.id
                for one in await _told(reconciling, wanted)
                if one.done is ReconcileOutcome.RESUBMITTED
            ]
            for _ in range(4)
        ]
    assert [len(ids) for ids in mended] == [5, 5, 2, 0]
    assert sorted(id_ for ids in mended for id_ in ids) == sorted(row.id for row in rows)


async def test_every_orphan_is_reported_once_in_order_when_temporal_has_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stigmer_cli.executions.reconcile.scan.PAGE_MAX", 10)
    monkeypatch.setattr(on_request, "AHEAD_MAX", 5)
    rows = await _orphans(harness, 45)
    gateway = PickyGateway()
    async with _dispatching(harness, gateway) as reconciling:
        told = []
        async for applied in reconciling.run(WANTED):
            assert (await harness.get(applied.move.execution)).dispatch.is_submitted
            told.append(applied)
    assert [applied.move.execution.id for applied in told] == sorted(row.id for row in rows)
    assert {applied.done for applied in told} == {ReconcileOutcome.RESUBMITTED}
    assert len(gateway.runs) == 45


async def test_one_that_temporal_refuses_is_reported_as_failed_and_the_others_are_not(harness: Harness) -> None:
    rows = await _orphans(harness, 30)
    gateway = PickyGateway()
    gateway.refused = {rows[3].id, rows[20].id}
    async with _dispatching(harness, gateway) as reconciling:
        told = await _told(reconciling)
    failed = {applied.move.execution.id for applied in told if applied.done is ReconcileOutcome.FAILED}
    assert failed == gateway.refused
    assert sum(applied.done is ReconcileOutcome.RESUBMITTED for applied in told) == 28


async def test_what_nobody_submits_is_reported_as_failed_and_stays_queued(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(await_submitted, "STALL_MAX_S", 0.2)
    rows = await _orphans(harness, 5)
    harness.gateway.forget()
    idle = Reconciling(harness.store, harness.gateway, harness.link, harness.dispatcher, clock=SystemClock())
    told = await _told(idle)
    assert [applied.done for applied in told] == [ReconcileOutcome.FAILED] * 5
    assert await harness.store.executions.queued_count() == 5
    await harness.dispatcher.run_once()
    assert [(await harness.get(row)).dispatch.is_submitted for row in rows] == [True] * 5


async def test_a_client_that_leaves_frees_the_lease_and_the_next_one_continues(harness: Harness) -> None:
    await _orphans(harness, 12)
    gateway = PickyGateway()
    async with _dispatching(harness, gateway) as reconciling:
        stream = reconciling.run(WANTED)
        await anext(stream)
        await stream.aclose()
        told = await _told(reconciling)
    assert {applied.done for applied in told} <= {ReconcileOutcome.LEFT, ReconcileOutcome.RESUBMITTED}
    assert len(gateway.runs) == 12
    page = await harness.store.executions.count_by_phase()
    assert page == {(Phase.PENDING, Kind.AGENT): 12}


async def test_the_lease_is_renewed_however_long_the_next_page_takes(harness: Harness) -> None:
    clock = ManualClock()
    async with hold_lease(harness.store, holder="ann", clock=clock) as mine:
        for _ in range(20):
            await clock.advance(RENEW_S + 0.1)
            await mine.renew()
            await clock.advance(LEASE_S - 2 * RENEW_S)  # a page that takes long
            await mine.renew()
