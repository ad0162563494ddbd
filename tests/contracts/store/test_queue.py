"""The way to Temporal and back: waiting, submitted, failed, orphaned, started over."""

from datetime import timedelta

import pytest

from stigmer_cli.domain.execution import NEXT_TRY_MAX_S, AttentionCode, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.progress import Progress
from stigmer_cli.errors import NotFound
from stigmer_cli.store import transitions
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import (
    OTHER_RUN,
    RUN,
    START,
    RealSleepClock,
    Stage,
    accepted,
    bring_to,
    running,
    submitted,
    timeline,
)
from tests.support.ids import claim
from tests.support.moves import mark_attention, mark_submitted, requeue, retry_attention, start_over


async def test_waiting_for_the_same_reason_keeps_since_and_the_timeline(store: Store, clock: RealSleepClock) -> None:
    id_ = await accepted(store)
    clock.move(1)
    for seconds, detail in ((1, "connection refused"), (2, "connection refused, again")):
        clock.move(1)
        assert await store.executions.mark_queued(
            id_,
            epoch=1,
            reason=QueueReason.TEMPORAL_UNREACHABLE,
            detail=detail,
            next_try_at=START + timedelta(seconds=seconds),
        )
    found = (await store.executions.get(id_)).dispatch
    assert (found.reason, found.detail) == (QueueReason.TEMPORAL_UNREACHABLE, "connection refused, again")
    assert (found.since, found.attempts) == (START + timedelta(seconds=2), 0)
    assert found.next_try_at == START + timedelta(seconds=2)
    assert await timeline(store, id_) == ["accepted", "queued: connection refused"]


async def test_due_are_the_oldest_whose_time_has_come_or_that_have_none(store: Store, clock: RealSleepClock) -> None:
    ids = []
    for _ in range(4):
        ids.append(await accepted(store))
        clock.move(1)
    await submitted(store)
    await bring_to(store, Stage.GIVEN_UP)
    later = START + timedelta(seconds=30)
    for id_, at in ((ids[1], later), (ids[2], None)):
        await store.executions.mark_queued(
            id_, epoch=1, reason=QueueReason.TEMPORAL_UNREACHABLE, detail="", next_try_at=at
        )
    due = await store.executions.read_due(now=clock.now(), limit=10)
    assert [found.id for found in due] == [ids[0], ids[2], ids[3]]
    assert [found.id for found in await store.executions.read_due(now=later, limit=2)] == [ids[0], ids[1]]
    assert await store.executions.queued_count() == 4
    assert await store.executions.next_due_at() == START


async def test_a_next_try_that_was_set_under_a_clock_that_ran_ahead_is_due(store: Store, clock: RealSleepClock) -> None:
    written_ahead, waits = await accepted(store), await accepted(store)
    for id_, seconds in ((written_ahead, 3600 + 1), (waits, NEXT_TRY_MAX_S)):
        await store.executions.mark_queued(
            id_, epoch=1, reason=QueueReason.TEMPORAL_BUSY, detail="", next_try_at=START + timedelta(seconds=seconds)
        )
    assert [due.id for due in await store.executions.read_due(now=START, limit=9)] == [written_ahead]
    clock.move(3600)
    assert [due.id for due in await store.executions.read_due(now=clock.now(), limit=9)] == [waits]


async def test_what_was_accepted_under_a_clock_that_ran_ahead_is_old_enough(
    store: Store, clock: RealSleepClock
) -> None:
    old = await accepted(store)
    clock.move(3600)
    ahead = await accepted(store)
    clock.move(-3590)
    await accepted(store)
    aged = Aged.by(clock.now(), s=5)
    found = await store.executions.open_after(aged=aged, after=None, limit=9)
    assert {execution.id for execution in found} == {old, ahead}
    for phases in (frozenset[Phase](), frozenset({Phase.PENDING})):
        page = await store.executions.list(Filter(aged=aged, phases=phases), limit=9)
        assert [execution.id for execution in page.items] == [ahead, old]


async def test_nothing_is_due_in_an_empty_queue(store: Store) -> None:
    await submitted(store)
    assert await store.executions.next_due_at() is None
    assert await store.executions.queued_count() == 0
    assert await store.executions.read_due(now=START + timedelta(days=1), limit=10) == []


async def test_submitting_twice_is_recorded_once(store: Store) -> None:
    id_ = await submitted(store)
    assert await mark_submitted(store, id_, epoch=1, run_id=OTHER_RUN, cluster="v", already=True)
    found = await store.executions.get(id_)
    assert (found.dispatch.run_id, found.dispatch.submitted_at, found.version) == (RUN, START, 2)
    assert await timeline(store, id_) == ["accepted", "submitted (run run-1)"]


async def test_the_fifth_failed_submit_needs_a_person_who_can_try_again(store: Store, clock: RealSleepClock) -> None:
    id_ = await accepted(store)
    found = await store.executions.get(id_)
    for attempt in range(1, 6):
        clock.move(1)
        marked = await store.executions.mark_submit_failed(
            id_, epoch=1, detail=f"no {attempt}", next_try_at=START + timedelta(hours=attempt), attempts_max=5
        )
        assert marked is not None
        found = marked
        assert found.dispatch.attempts == attempt
        assert (found.attention is None) == (attempt < 5)
    assert found.attention is not None
    assert (found.attention.code, found.attention.reason) == (AttentionCode.SUBMIT_FAILED, "no 5")
    assert found.dispatch.next_try_at is None
    assert await store.executions.read_due(now=START + timedelta(days=1), limit=10) == []
    assert await retry_attention(store, id_, version=found.version)
    again = await store.executions.get(id_)
    assert (again.attention, again.dispatch.attempts, again.dispatch.next_try_at) == (None, 0, clock.now())
    assert await timeline(store, id_) == [
        "accepted",
        "queued: no 1",
        "queued: no 2",
        "queued: no 3",
        "queued: no 4",
        "needs attention: 5 tries to submit failed: no 5",
        "queued: to be tried again, as a person asked",
    ]


async def test_a_submit_that_failed_too_late_changes_nothing(store: Store) -> None:
    id_ = await submitted(store)
    before = await store.executions.get(id_)
    marked = await store.executions.mark_submit_failed(id_, epoch=1, detail="no", next_try_at=START, attempts_max=1)
    assert (marked, await store.executions.get(id_)) == (None, before)


async def test_named_executions_come_in_the_order_asked_for_and_a_missing_one_is_reported(store: Store) -> None:
    ids = [await accepted(store) for _ in range(5)][::-1]
    assert [row.id for row in await store.executions.read_by_ids(ids)] == ids
    assert await store.executions.read_by_ids([]) == []
    with pytest.raises(NotFound, match="there is no execution aex-0"):
        await store.executions.read_by_ids([*ids, ExecutionId("aex-0")])


async def test_of_two_servers_that_give_up_the_same_submit_one_has_done_it(store: Store) -> None:
    id_ = await accepted(store)
    first, second = [
        await store.executions.mark_submit_failed(id_, epoch=1, detail="no", next_try_at=START, attempts_max=1)
        for _ in range(2)
    ]
    assert first is not None
    assert first.attention is not None
    assert second is None


async def test_an_orphan_is_due_again_and_its_old_submit_forgotten(store: Store, clock: RealSleepClock) -> None:
    id_ = await submitted(store)
    await mark_attention(store, id_, epoch=1, version=None, code=AttentionCode.RESULT_UNKNOWN, reason="unclear")
    found = await store.executions.get(id_)
    clock.move(60)
    assert await requeue(
        store, id_, epoch=1, version=found.version, reason=QueueReason.ORPHANED, detail="Temporal has no such workflow"
    )
    now = await store.executions.get(id_)
    assert (now.epoch, now.attention, now.dispatch.run_id, now.dispatch.submitted_at) == (1, None, None, None)
    assert now.dispatch.next_try_at == clock.now()
    assert [due.id for due in await store.executions.read_due(now=clock.now(), limit=9)] == [id_]
    assert (await timeline(store, id_))[-1] == "orphaned: Temporal has no such workflow"


async def test_the_same_mark_is_made_once_and_another_replaces_it(store: Store) -> None:
    id_ = await running(store)
    marks = [AttentionCode.LOST, AttentionCode.LOST, AttentionCode.RESULT_UNKNOWN]
    answers = [await mark_attention(store, id_, epoch=1, version=None, code=code, reason=code) for code in marks]
    assert answers == [True, False, True]
    assert (await timeline(store, id_))[-2:] == ["needs attention: lost", "needs attention: result-unknown"]


async def test_starting_over_hides_what_the_old_run_said_and_refuses_the_rest(store: Store) -> None:
    id_ = await running(store)
    await store.runs.append_message(
        id_, epoch=1, run=RUN, attempt=1, index=0, offset=0, role="assistant", text="old words"
    )
    found = await store.executions.get(id_)
    assert await start_over(store, id_, epoch=1, version=found.version)
    now = await store.executions.get(id_)
    assert (now.phase, now.epoch, now.messages, now.started_at) == (Phase.PENDING, 2, (), None)
    assert (now.claimed_run, now.claimed_by, now.claimed_attempt) == (None, None, 0)
    assert now.dispatch.reason is QueueReason.STARTED_OVER
    assert (await timeline(store, id_))[-1] == "started over (epoch 2)"
    assert await claim(store, id_, epoch=2, run=OTHER_RUN, runner="mill") == "won"


async def test_resuming_waits_as_long_as_it_says_and_is_counted_until_a_person_starts_it_over(store: Store) -> None:
    id_ = await running(store)
    await mark_attention(store, id_, epoch=1, version=None, code=AttentionCode.LOST, reason="by an older version")
    found = await store.executions.get(id_)
    made = transitions.resume(
        store.id, "forgotten", resumes=2, delay_s=2.0, epoch=1, version=found.version, now=store.clock.now()
    )
    assert await store.executions.transition_all({id_: lambda _now: made}) == {id_}
    now = await store.executions.get(id_)
    assert (now.phase, now.epoch, now.attention, now.claimed_run) == (Phase.PENDING, 2, None, None)
    assert (now.dispatch.reason, now.dispatch.detail) == (QueueReason.RESUMED, "forgotten")
    assert now.dispatch.next_try_at == now.dispatch.since + timedelta(seconds=2)
    assert (await timeline(store, id_))[-1] == "resumed (epoch 2): forgotten"
    assert await store.progress.read([id_]) == {id_: Progress(resumes=2)}
    assert await claim(store, id_, epoch=2, run=OTHER_RUN, runner="mill") == "won"
    assert await start_over(store, id_, epoch=2, version=(await store.executions.get(id_)).version)
    assert await store.progress.read([id_]) == {id_: Progress(resumes=0)}


async def test_an_outcome_from_temporal_is_recorded_with_its_source(store: Store) -> None:
    id_ = await running(store)
    found = await store.executions.get(id_)
    assert await store.executions.conclude(
        id_,
        epoch=1,
        version=found.version,
        outcome=Outcome(phase=Phase.FAILED, error="terminated"),
        detail="taken from Temporal",
    )
    now = await store.executions.get(id_)
    assert (now.phase, now.error, now.completed_at) == (Phase.FAILED, "terminated", START)
    assert (await timeline(store, id_))[-1] == "failed: terminated (taken from Temporal)"


async def test_open_ones_are_walked_by_id_each_once(store: Store, clock: RealSleepClock) -> None:
    wanted = sorted([await accepted(store), await submitted(store), await running(store)])
    await bring_to(store, Stage.COMPLETED)
    clock.move(1)
    young = await accepted(store)
    seen: list[ExecutionId] = []
    after: ExecutionId | None = None
    while found := await store.executions.open_after(aged=Aged.by(clock.now(), s=0), after=after, limit=2):
        seen += [execution.id for execution in found]
        after = seen[-1]
    assert seen == wanted
    assert young not in seen


async def test_counts_and_the_oldest_pending(store: Store, clock: RealSleepClock) -> None:
    assert await store.executions.oldest_pending_at() is None
    await running(store)
    await accepted(store)
    clock.move(1)
    await accepted(store)
    assert await store.executions.count_by_phase() == {
        (Phase.PENDING, Kind.AGENT): 2,
        (Phase.IN_PROGRESS, Kind.AGENT): 1,
    }
    assert await store.executions.oldest_pending_at() == START
