"""Runs whose code does not fit them: left alone unasked, and started over on a person's word, without leftovers."""

import asyncio

import pytest

from stigmer_cli.api.findings import Finding, ReconcileOutcome
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.reconcile.apply import Applied
from stigmer_cli.executions.reconcile.on_request import ReconcileJob, Reconciling
from stigmer_cli.executions.reconcile.scan import ReconcileScope
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.temporal.gateway import RunState
from stigmer_cli.temporal.pending import PendingTask, TaskFailure
from tests.integration.executions.conftest import Harness, submitted
from tests.support.fakes import START
from tests.support.ids import claim

CHANGED = TaskFailure(words="[TMPRL1100] Nondeterminism error", runner="runner", is_nondeterminism=True)


async def _unfit(harness: Harness, phase: Phase) -> Execution:
    """One in `phase` whose workflow task fails again and again."""
    execution = await submitted(harness)
    run = execution.dispatch.run_id
    assert run is not None
    if phase is Phase.IN_PROGRESS:
        await claim(harness.store, execution.id, epoch=1, run=run, runner="runner")
    [workflow] = harness.gateway.runs.values()
    workflow.pending_task = PendingTask(attempt=4, since=START, is_taken=True)
    workflow.task_failure = CHANGED
    return await harness.get(execution)


async def _reconciled(harness: Harness, execution: Execution, *, include_in_progress: bool) -> Applied:
    reconciling = Reconciling(harness.store, harness.gateway, harness.link, harness.dispatcher, clock=SystemClock())
    reconciling.withdraw = harness.canceller.withdraw
    rules = Rules(grace_s=0.0, include_in_progress=include_in_progress, retry_refused=True)
    wanted = ReconcileJob(scope=ReconcileScope(ids=[execution.id]), rules=rules, is_dry_run=False, asked_by="test")
    applied = None
    async for one in reconciling.run(wanted):
        applied = one
    assert applied is not None
    return applied


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.IN_PROGRESS])
async def test_the_server_leaves_it_alone_unasked(harness: Harness, phase: Phase) -> None:
    execution = await _unfit(harness, phase)
    await harness.reconciler.run_once()
    assert (await harness.get(execution)).version == execution.version


async def test_what_may_have_had_effects_needs_a_word_of_its_own(harness: Harness) -> None:
    execution = await _unfit(harness, Phase.IN_PROGRESS)
    applied = await _reconciled(harness, execution, include_in_progress=False)
    assert (applied.move.finding, applied.done) == (Finding.CANNOT_REPLAY, ReconcileOutcome.LEFT)


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.IN_PROGRESS])
async def test_on_a_persons_word_it_begins_in_the_next_epoch_and_the_old_workflow_ends(
    harness: Harness, phase: Phase
) -> None:
    execution = await _unfit(harness, phase)
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(harness.dispatcher.run())
        applied = await _reconciled(harness, execution, include_in_progress=phase is Phase.IN_PROGRESS)
        loop.cancel()
    assert applied.done is ReconcileOutcome.RESUBMITTED
    await harness.canceller.run_once()
    old = harness.gateway.runs[execution.workflow.id]
    again = await harness.get(execution)
    assert (old.state, again.epoch, again.phase) == (RunState.TERMINATED, 2, Phase.PENDING)
