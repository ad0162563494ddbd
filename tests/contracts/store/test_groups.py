"""Many moves in one commit: each as if it were made alone, and none of them at the cost of another."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from stigmer_cli.domain.execution import AttentionCode, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.store import transitions
from stigmer_cli.store.database import Transition, Writing
from stigmer_cli.store.executions import Decided, Taken
from stigmer_cli.store.store import Store
from stigmer_cli.store.waits import WaitReport
from tests.contracts.store.drafts import (
    OTHER_RUN,
    RUN,
    START,
    RealSleepClock,
    Stage,
    accepted,
    bring_to,
    draft,
    running,
    timeline,
)
from tests.support.ids import STORE, claim
from tests.support.moves import start_over

DEADLOCK_S = 1.0
"""How long PostgreSQL lets two transactions wait for each other."""


def taken(id_: ExecutionId, run: RunId = RUN, *, epoch: int = 1) -> Taken:
    return Taken(id=id_, epoch=epoch, run_id=run, cluster="w", already=False)


def requeued(version: int) -> Decided:
    return lambda now: transitions.requeue(STORE, QueueReason.ORPHANED, "forgotten", epoch=1, version=version, now=now)


async def test_many_are_marked_submitted_in_one_commit_each_with_its_event(store: Store) -> None:
    told: list[ExecutionId] = []
    ids = [await accepted(store) for _ in range(40)]
    store.events.on_change = told.append
    marks = [taken(id_, RunId(f"run-{number}")) for number, id_ in enumerate(ids)]
    assert await store.executions.mark_all_submitted(marks) == set(ids)
    assert sorted(told) == sorted(ids)
    for number, id_ in enumerate(ids):
        found = await store.executions.get(id_)
        assert (found.dispatch.run_id, found.dispatch.submitted_at, found.version) == (f"run-{number}", START, 2)
        assert await timeline(store, id_) == ["accepted", f"submitted (run run-{number})"]
    assert await store.executions.queued_count() == 0


async def test_a_late_mark_is_reported_and_the_others_are_written(store: Store) -> None:
    stages = [Stage.QUEUED, Stage.SUBMITTED, Stage.RUNNING, Stage.CANCELLED, Stage.COMPLETED, Stage.QUEUED]
    rows = [await bring_to(store, stage) for stage in stages]
    over = await bring_to(store, Stage.RUNNING)
    await start_over(store, over.id, epoch=1, version=over.version)
    done = await store.executions.mark_all_submitted([taken(row.id, OTHER_RUN) for row in (*rows, over)])
    assert done == {rows[index].id for index in (0, 1, 2, 5)}
    after = [await store.executions.get(row.id) for row in rows]
    assert [row.dispatch.run_id for row in after] == [OTHER_RUN, RUN, RUN, None, RUN, OTHER_RUN]
    assert [row.version - before.version for row, before in zip(after, rows, strict=True)] == [1, 0, 0, 0, 0, 1]
    assert not (await store.executions.get(over.id)).dispatch.is_submitted


async def test_executions_that_a_claim_marked_first_learn_their_cluster_together(store: Store) -> None:
    ids = [await accepted(store) for _ in range(3)]
    for id_ in ids:
        await claim(store, id_, epoch=1, run=RUN, runner="mill")
    assert await store.executions.mark_all_submitted([taken(id_) for id_ in ids]) == set(ids)
    versions = [(await store.executions.get(id_)).version for id_ in ids]
    assert versions == [3, 3, 3]
    assert await store.executions.mark_all_submitted([taken(id_) for id_ in ids]) == set(ids)
    assert [(await store.executions.get(id_)).version for id_ in ids] == versions


async def test_orphans_are_requeued_together_but_for_those_that_moved(store: Store, clock: RealSleepClock) -> None:
    rows = [await bring_to(store, Stage.SUBMITTED) for _ in range(30)]
    moved = rows[::3]
    for row in moved:
        await claim(store, row.id, epoch=1, run=RUN, runner="mill")
    clock.move(60)
    made = await store.executions.transition_all({row.id: requeued(row.version) for row in rows})
    assert made == {row.id for row in rows if row not in moved}
    for row in rows:
        now = await store.executions.get(row.id)
        assert (now.phase is Phase.IN_PROGRESS) == (row in moved)
        assert now.dispatch.is_submitted == (row in moved)
        assert (await timeline(store, row.id))[-1] == (
            "claimed by runner mill" if row in moved else "orphaned: forgotten"
        )
    due = await store.executions.read_due(now=clock.now(), limit=100)
    assert {found.id for found in due} == made
    assert await store.executions.transition_all({row.id: requeued(row.version) for row in rows}) == set()


async def test_moves_of_every_kind_are_made_in_one_commit(store: Store) -> None:
    orphans = [await bring_to(store, Stage.SUBMITTED) for _ in range(2)]
    lost, again, behind, on = [await bring_to(store, Stage.RUNNING) for _ in range(4)]
    cancelled = await bring_to(store, Stage.SUBMITTED)
    refused = await bring_to(store, Stage.GIVEN_UP)
    ended = await bring_to(store, Stage.COMPLETED)
    known = {"epoch": 1}
    failed = Outcome(phase=Phase.FAILED, error="terminated")
    gone = Outcome(phase=Phase.CANCELLED, error="unwanted")
    made = await store.executions.transition_all(
        {row.id: requeued(row.version) for row in orphans}
        | {
            lost.id: lambda now: transitions.mark(AttentionCode.LOST, "gone", **known, version=lost.version, now=now),
            again.id: lambda now: transitions.start_over(STORE, **known, version=again.version, now=now),
            on.id: lambda now: transitions.resume(
                STORE, "gone", resumes=2, delay_s=2.0, **known, version=on.version, now=now
            ),
            behind.id: lambda now: transitions.conclude(failed, "Temporal", **known, version=behind.version, now=now),
            cancelled.id: lambda now: transitions.conclude(gone, "", **known, version=cancelled.version, now=now),
            refused.id: lambda now: transitions.retry(version=refused.version, now=now),
            ended.id: lambda now: transitions.conclude(failed, "", **known, version=ended.version, now=now),
        }
    )
    assert made == {row.id for row in (*orphans, lost, again, on, behind, cancelled, refused)}
    phases = [
        (await store.executions.get(row.id)).phase for row in (lost, again, on, behind, cancelled, refused, ended)
    ]
    assert phases == [
        Phase.IN_PROGRESS,
        Phase.PENDING,
        Phase.PENDING,
        Phase.FAILED,
        Phase.CANCELLED,
        Phase.PENDING,
        Phase.COMPLETED,
    ]
    assert await store.executions.queued_count() == 5


async def test_groups_that_meet_never_wait_for_each_other_in_a_circle_and_each_row_moves_once(store: Store) -> None:
    rows = [await bring_to(store, Stage.SUBMITTED) for _ in range(24)]
    made: list[ExecutionId] = []

    async def one(order: int) -> None:
        wanted = rows[::order]
        kinds = {
            row.id: requeued(row.version)
            if index % 2
            else partial(_marked, version=row.version)
            for index, row in enumerate(wanted)
        }  # fmt: skip
        made.extend(await store.executions.transition_all(kinds))

    async with asyncio.TaskGroup() as group:
        for order in (1, -1, 2, -2, 3, -3):
            group.create_task(one(order))
    assert len(made) == len(set(made)) == 24
    assert [(await store.executions.get(row.id)).version - row.version for row in rows] == [1] * 24


def _marked(now: datetime, *, version: int) -> Transition:
    return transitions.mark(AttentionCode.LOST, "gone", epoch=1, version=version, now=now)


async def test_what_is_not_submitted_is_listed_with_whether_a_person_is_needed(store: Store) -> None:
    rows = {stage: await bring_to(store, stage) for stage in Stage}
    unknown = ExecutionId("aex-00000000000000000000000000")
    found = await store.executions.find_unsubmitted([*(row.id for row in rows.values()), unknown])
    assert found == {rows[Stage.QUEUED].id: False, rows[Stage.GIVEN_UP].id: True}


async def test_what_loops_walk_over_comes_without_its_long_texts(store: Store) -> None:
    row = await bring_to(store, Stage.QUEUED)
    [found] = await store.executions.read_due(now=START + timedelta(seconds=1), limit=1)
    assert (row.message, found.message) == ("hello", "")
    assert (found.id, found.epoch, found.version, found.dispatch) == (row.id, row.epoch, row.version, row.dispatch)


async def test_two_that_wait_for_rows_of_each_other_are_both_written(store: Store) -> None:
    first, second = sorted([await accepted(store), await accepted(store)])
    has_locked = {first: asyncio.Event(), second: asyncio.Event()}
    calls: list[ExecutionId] = []

    async def lock_both(mine: ExecutionId, other: ExecutionId) -> None:
        async def write(writing: Writing) -> None:
            calls.append(mine)
            await writing.lock_row(mine)
            has_locked[mine].set()
            if store.is_shared:  # in SQLite the second one has not begun
                await has_locked[other].wait()
            await writing.lock_row(other)
            await writing.change(mine, Transition(values={"queue_detail": "written"}))

        await store._database.write(write)

    async with asyncio.TaskGroup() as group:
        group.create_task(lock_both(first, second))
        group.create_task(lock_both(second, first))
    assert [(await store.executions.get(id_)).dispatch.detail for id_ in (first, second)] == ["written", "written"]
    assert len(calls) == (3 if store.is_shared else 2)


async def test_cancels_of_a_parent_and_of_its_child_do_not_wait_for_each_other(store: Store) -> None:
    for _ in range(8):
        parent = await running(store)
        await store.waits.report(
            parent, epoch=1, run=RUN, attempt=1, wait=WaitReport(wait_for=WaitFor.EXECUTION, step="/a", cause="waits")
        )
        child = replace(draft(), parent=parent)  # its id is the greater one
        await store.executions.accept(child, reason=QueueReason.ACCEPTED, detail="")
        began = store.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(store.executions.request_cancel_all([child.id]))
            group.create_task(store.executions.request_cancel_all([parent, child.id]))
        assert store.clock.monotonic() - began < DEADLOCK_S
        assert (await store.executions.get(child.id)).phase is Phase.CANCELLED
