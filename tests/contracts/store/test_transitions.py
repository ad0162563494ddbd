"""Every guarded write against every stage of an execution: what it answers, and where the row stands then."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.execution import AttentionCode, Execution, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.runs import Claimant, ReportResult
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import OTHER_RUN, RUN, START, Stage, bring_to, timeline
from tests.support.ids import claim, workflow
from tests.support.moves import mark_attention, mark_submitted, may_move, requeue, resume, retry_attention, start_over

LATER = START + timedelta(seconds=5)
DONE = Outcome(phase=Phase.COMPLETED, output="out")

BUSY = Postponement(cause="the model is busy", delay_s=5.0, busy_s=5.0, broke_off=False)


async def claim_and_begin(
    store: Store, execution: Execution, *, attempt: int, run: RunId = RUN
) -> tuple[ClaimAnswer, ReportResult]:
    """As a run of the execution's own workflow, whichever run was submitted."""
    own = workflow(execution.id, store=store.id).id
    claimant = Claimant(run=run, runner="mill", workflow=own, first_run=None)
    claimed = await store.runs.claim_and_begin(execution.id, epoch=1, claimant=claimant, attempt=attempt)
    return claimed.answer, claimed.report


Write = Callable[[Store, Execution], Awaitable[object]]

WRITES: dict[str, Write] = {
    "mark_queued": lambda s, e: s.executions.mark_queued(
        e.id, epoch=1, reason=QueueReason.TEMPORAL_UNREACHABLE, detail="refused", next_try_at=LATER
    ),
    "mark_submitted": lambda s, e: mark_submitted(s, e.id, epoch=1, run_id=RUN, cluster="w", already=False),
    "mark_attention": lambda s, e: mark_attention(
        s, e.id, epoch=1, version=e.version, code=AttentionCode.LOST, reason="gone"
    ),
    "requeue": lambda s, e: requeue(
        s, e.id, epoch=1, version=e.version, reason=QueueReason.ORPHANED, detail="forgotten"
    ),
    "start_over": lambda s, e: start_over(s, e.id, epoch=1, version=e.version),
    "resume": lambda s, e: resume(s, e.id, epoch=1, version=e.version),
    "retry_attention": lambda s, e: retry_attention(s, e.id, version=e.version),
    "conclude": lambda s, e: s.executions.conclude(e.id, epoch=1, version=e.version, outcome=DONE, detail="Temporal"),
    "claim": lambda s, e: claim(s, e.id, epoch=1, run=RUN, runner="mill"),
    "claim by another": lambda s, e: claim(s, e.id, epoch=1, run=OTHER_RUN, runner="mill"),
    "claim_and_begin 1": lambda s, e: claim_and_begin(s, e, attempt=1),
    "claim_and_begin 2": lambda s, e: claim_and_begin(s, e, attempt=2),
    "claim_and_begin by another": lambda s, e: claim_and_begin(s, e, attempt=1, run=OTHER_RUN),
    "begin_attempt 1": lambda s, e: s.runs.begin_attempt(e.id, epoch=1, run=RUN, attempt=1, runner="mill"),
    "begin_attempt 2": lambda s, e: s.runs.begin_attempt(e.id, epoch=1, run=RUN, attempt=2, runner="mill"),
    "postpone": lambda s, e: s.runs.postpone(e.id, epoch=1, run=RUN, attempt=1, postponement=BUSY),
    "append_message": lambda s, e: s.runs.append_message(
        e.id, epoch=1, run=RUN, attempt=1, index=0, offset=0, role="assistant", text="hi"
    ),
    "finish": lambda s, e: s.runs.finish(e.id, epoch=1, run=RUN, attempt=1, outcome=DONE),
    "last word": lambda s, e: s.runs.finish(e.id, epoch=1, run=RUN, attempt=None, outcome=DONE),
    "finish by another": lambda s, e: s.runs.finish(e.id, epoch=1, run=OTHER_RUN, attempt=None, outcome=DONE),
}

P, R, C = Phase.PENDING, Phase.IN_PROGRESS, Phase.COMPLETED
TAKEN, STALE, OVER = ReportResult.TAKEN, ReportResult.STALE, ReportResult.DONE
WON, LOST = ClaimAnswer.WON, ClaimAnswer.LOST

# The answer and the phase after it, for the stages QUEUED, GIVEN_UP, SUBMITTED and RUNNING.
OPEN_STAGES = (Stage.QUEUED, Stage.GIVEN_UP, Stage.SUBMITTED, Stage.RUNNING)
ANSWERS: dict[str, tuple[tuple[object, Phase], ...]] = {
    "mark_queued": ((True, P), (False, P), (False, P), (False, R)),
    "mark_submitted": ((True, P), (True, P), (True, P), (True, R)),
    "mark_attention": ((True, P), (True, P), (True, P), (True, R)),
    "requeue": ((False, P), (False, P), (True, P), (False, R)),
    "start_over": ((False, P), (False, P), (False, P), (True, P)),
    "resume": ((False, P), (False, P), (False, P), (True, P)),
    "retry_attention": ((False, P), (True, P), (False, P), (False, R)),
    "conclude": ((True, C), (True, C), (True, C), (True, C)),
    "claim": ((ClaimAnswer.WON, R), (ClaimAnswer.WON, R), (ClaimAnswer.WON, R), (ClaimAnswer.WON, R)),
    "claim by another": ((ClaimAnswer.WON, R), (ClaimAnswer.WON, R), (ClaimAnswer.WON, R), (ClaimAnswer.LOST, R)),
    "claim_and_begin 1": (((WON, TAKEN), R), ((WON, TAKEN), R), ((WON, TAKEN), R), ((WON, TAKEN), R)),
    "claim_and_begin 2": (((WON, TAKEN), R), ((WON, TAKEN), R), ((WON, TAKEN), R), ((WON, TAKEN), R)),
    "claim_and_begin by another": (((WON, TAKEN), R), ((WON, TAKEN), R), ((WON, TAKEN), R), ((LOST, STALE), R)),
    "begin_attempt 1": ((STALE, P), (STALE, P), (STALE, P), (TAKEN, R)),
    "begin_attempt 2": ((STALE, P), (STALE, P), (STALE, P), (TAKEN, R)),
    "postpone": ((STALE, P), (STALE, P), (STALE, P), (TAKEN, R)),
    "append_message": ((STALE, P), (STALE, P), (STALE, P), (TAKEN, R)),
    "finish": ((STALE, P), (STALE, P), (STALE, P), (TAKEN, C)),
    "last word": ((STALE, P), (STALE, P), (TAKEN, C), (TAKEN, C)),
    "finish by another": ((STALE, P), (STALE, P), (STALE, P), (STALE, R)),
}
REPORTS_OF_THE_HOLDER = {"begin_attempt 1", "begin_attempt 2", "postpone", "append_message", "finish", "last word"}
NOTHING = (False, ClaimAnswer.LOST, STALE, OVER, (LOST, STALE), (WON, OVER))


async def state(store: Store, found: Execution) -> tuple[object, ...]:
    return await store.executions.get(found.id), await store.events.list(found.id)


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_to_an_open_execution_answers_and_moves_by_the_table(store: Store, write: str) -> None:
    for stage, (answer, phase) in zip(OPEN_STAGES, ANSWERS[write], strict=True):
        found = await bring_to(store, stage)
        before = await state(store, found)
        assert (stage, await WRITES[write](store, found)) == (stage, answer)
        now = await store.executions.get(found.id)
        assert (stage, now.phase) == (stage, phase)
        assert now.phase == found.phase or may_move(found.phase, now.phase)
        if answer in NOTHING:
            assert await state(store, found) == before
        elif await state(store, found) != before:
            assert now.version == found.version + 1


@pytest.mark.parametrize("write", WRITES)
async def test_no_write_changes_an_execution_that_has_ended(store: Store, write: str) -> None:
    for stage in (Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED):
        found = await bring_to(store, stage)
        before = await state(store, found)
        answer = await WRITES[write](store, found)
        assert answer in NOTHING
        if write in REPORTS_OF_THE_HOLDER:
            assert answer is (STALE if stage is Stage.CANCELLED else OVER)
        assert await state(store, found) == before


@pytest.mark.parametrize("write", [name for name in WRITES if name != "retry_attention"])
async def test_no_write_of_an_old_epoch_changes_anything(store: Store, write: str) -> None:
    found = await bring_to(store, Stage.RUNNING)
    assert await start_over(store, found.id, epoch=1, version=found.version)
    for submit in (False, True):
        if submit:
            await mark_submitted(store, found.id, epoch=2, run_id=OTHER_RUN, cluster="w", already=False)
        now = await store.executions.get(found.id)
        before = await state(store, now)
        assert await WRITES[write](store, now) in NOTHING
        assert await state(store, now) == before


@pytest.mark.parametrize("write", ["mark_attention", "requeue", "start_over", "resume", "retry_attention", "conclude"])
async def test_a_write_that_expects_a_version_loses_to_an_earlier_write(store: Store, write: str) -> None:
    stages = {"requeue": Stage.SUBMITTED, "retry_attention": Stage.GIVEN_UP}
    found = await bring_to(store, stages.get(write, Stage.RUNNING))
    assert await mark_attention(
        store, found.id, epoch=1, version=None, code=AttentionCode.RESULT_UNKNOWN, reason="moved"
    )
    before = await state(store, found)
    assert await WRITES[write](store, found) is False
    assert await state(store, found) == before


async def test_cancelling_by_stage(store: Store) -> None:
    after = {}
    for stage in Stage:
        found = await bring_to(store, stage)
        now = await store.executions.request_cancel(found.id)
        once = await state(store, found)
        assert await store.executions.request_cancel(found.id) == now
        assert await state(store, found) == once
        after[stage] = (now.phase, now.cancel_requested_at is not None)
    assert after == {
        Stage.QUEUED: (Phase.CANCELLED, True),
        Stage.GIVEN_UP: (Phase.CANCELLED, True),
        Stage.SUBMITTED: (Phase.CANCELLED, True),
        Stage.RUNNING: (Phase.IN_PROGRESS, True),
        Stage.COMPLETED: (Phase.COMPLETED, False),
        Stage.FAILED: (Phase.FAILED, False),
        Stage.CANCELLED: (Phase.CANCELLED, True),
    }
    waiting = await store.executions.find_cancel_requested(limit=10)
    assert sorted(found.phase for found in waiting) == [Phase.IN_PROGRESS]


async def test_many_are_cancelled_at_once_as_each_would_be_alone(store: Store) -> None:
    many = {stage: await bring_to(store, stage) for stage in Stage}
    alone = {stage: await store.executions.request_cancel((await bring_to(store, stage)).id) for stage in Stage}
    ids = [execution.id for execution in many.values()]
    rows, cancelled = await store.executions.request_cancel_all([*ids, ExecutionId("aex-unknown")])
    assert {row.id for row in rows} == set(ids)
    assert cancelled == {
        many[stage].id for stage in Stage if many[stage].phase != alone[stage].phase == Phase.CANCELLED
    }
    for stage, before in many.items():
        now = await store.executions.get(before.id)
        assert (stage, now.phase, now.error) == (stage, alone[stage].phase, alone[stage].error)
        assert (now.cancel_requested_at is None) == (alone[stage].cancel_requested_at is None)
        assert await timeline(store, now.id) == await timeline(store, alone[stage].id)
    assert (await store.executions.request_cancel_all(ids))[1] == set()
