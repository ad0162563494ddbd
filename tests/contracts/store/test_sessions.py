"""Sessions: executions begin one after the other, and each sees what was said before it, whatever happens between."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from stigmer_cli.domain.execution import EventType, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.session import CHARS_MAX, OPEN_MAX, Exchange
from stigmer_cli.domain.step import BeginAnswer, Effect, StepKind, StepState
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store import beginnings, pruning
from stigmer_cli.store.database import Writing
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.session_order import join_session
from stigmer_cli.store.sessions import forget_empty_sessions
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import sessions
from tests.contracts.store.drafts import RUN, START, RealSleepClock, accepted, draft, timeline
from tests.support.ids import claim
from tests.support.moves import mark_submitted


async def join(store: Store, session: str = "trip", message: str = "hello") -> ExecutionId:
    wanted = replace(draft(message=message), session=session)
    return (await store.executions.accept(wanted, reason=QueueReason.ACCEPTED, detail="")).execution.id


async def begin(store: Store, id_: ExecutionId, *, epoch: int = 1) -> None:
    assert await mark_submitted(store, id_, epoch=epoch, run_id=RUN, cluster="w", already=False)
    await claim(store, id_, epoch=epoch, run=RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=epoch, run=RUN, attempt=1, runner="mill")


async def end(
    store: Store, id_: ExecutionId, output: str = "", *, phase: Phase = Phase.COMPLETED, epoch: int = 1
) -> None:
    await begin(store, id_, epoch=epoch)
    outcome = Outcome(phase=phase, output=output or None, error=None if output else "it broke")
    await store.runs.finish(id_, epoch=epoch, run=RUN, attempt=1, outcome=outcome)


async def due(store: Store) -> list[ExecutionId]:
    found = await store.executions.read_due(now=START + timedelta(hours=1), limit=100)
    return [execution.id for execution in found]


async def seen(store: Store, id_: ExecutionId) -> list[tuple[str, str]]:
    return [(one.message, one.output) for one in await store.sessions.begin_conversation(id_)]


async def test_executions_of_a_session_begin_one_after_the_other(store: Store) -> None:
    first, alone = await join(store), await accepted(store)
    second, third = await join(store), await join(store)
    assert await due(store) == [first, alone]
    assert (await store.executions.queued_count(), await store.executions.next_due_at()) == (2, START)
    waits = await store.executions.get(third)
    assert waits.dispatch.reason is QueueReason.SESSION_BUSY
    assert waits.dispatch.detail == f"waits for its turn in session trip, behind {second}"
    assert await timeline(store, third) == ["accepted", f"queued: {waits.dispatch.detail}"]
    await end(store, first, "hi")
    assert await due(store) == [alone, second]
    await store.executions.request_cancel(second)
    assert await due(store) == [alone, third]


async def test_what_waits_for_its_turn_leaves_the_dispatcher_idle(store: Store) -> None:
    first = await join(store)
    await begin(store, first)
    await join(store)
    assert (await store.executions.next_due_at(), await store.executions.queued_count()) == (None, 0)


async def test_an_execution_sees_those_before_it_that_completed(store: Store) -> None:
    await end(store, await join(store, message="one?"), "one")
    await end(store, await join(store, message="lost?"), phase=Phase.FAILED)
    await end(store, await join(store, "other", message="elsewhere?"), "elsewhere")
    await end(store, await join(store, message="two?"), "two")
    assert await seen(store, await join(store)) == [("one?", "one"), ("two?", "two")]
    assert await store.sessions.begin_conversation(await accepted(store)) == ()


async def test_what_an_execution_sees_stays_the_same_from_its_beginning(store: Store) -> None:
    failed = await join(store, message="first?")
    await end(store, failed, phase=Phase.FAILED)
    later = await join(store)
    assert await seen(store, later) == []
    await store.resuming.resume(failed, Decision())
    await end(store, failed, "now", epoch=2)
    assert await seen(store, later) == []
    assert await seen(store, await join(store)) == [("first?", "now")]


async def test_a_resumed_execution_has_its_place_again(store: Store) -> None:
    failed = await join(store)
    await end(store, failed, phase=Phase.FAILED)
    later = await join(store)
    await store.resuming.resume(failed, Decision())
    assert await due(store) == [failed]
    await end(store, failed, "now", epoch=2)
    assert await due(store) == [later]


async def test_what_has_begun_goes_on_though_an_older_one_is_open_again(store: Store) -> None:
    first, second = await join(store), await join(store)
    await end(store, first, phase=Phase.FAILED)
    await seen(store, second)
    await end(store, second, phase=Phase.FAILED)
    await store.resuming.resume(first, Decision())
    await store.resuming.resume(second, Decision())
    third = await join(store)
    assert (await due(store), await store.executions.queued_count()) == ([first, second], 2)
    assert await store.sessions.find_behind([first, second, third], since=START + timedelta(hours=1)) == {third}


async def test_what_had_to_wait_until_just_now_counts_as_waiting(store: Store, clock: RealSleepClock) -> None:
    first, second = await join(store), await join(store)
    clock.move(60)
    await end(store, first, "done")
    for s_later, behind in ((-1.0, {second}), (1.0, set[ExecutionId]())):
        since = clock.now() + timedelta(seconds=s_later)
        assert await store.sessions.find_behind([first, second], since=since) == behind


async def test_what_is_seen_is_limited_and_has_no_gap(store: Store) -> None:
    await end(store, await join(store, message="short?"), "short")
    long = "x" * (CHARS_MAX - 4)
    await end(store, await join(store, message="long?"), long)
    await end(store, await join(store, message="a?"), "b")
    assert await seen(store, await join(store)) == [("a?", "b")]


async def test_a_session_is_with_one_agent(store: Store) -> None:
    await join(store)
    stranger = replace(draft(), session="trip", agent_name="Painter")
    with pytest.raises(Conflict, match="session trip is a conversation with the agent Writer, and not with Painter"):
        await store.executions.accept(stranger, reason=QueueReason.ACCEPTED, detail="")
    with pytest.raises(NotFound):
        await store.executions.get(stranger.id)
    assert (await store.sessions.get("trip")).executions == 1


async def test_so_many_may_be_open_in_a_session_and_no_more(store: Store) -> None:
    for _ in range(OPEN_MAX):
        await join(store)
    with pytest.raises(Conflict, match=f"{OPEN_MAX} executions of session trip have not ended"):
        await join(store)


async def test_a_request_that_is_repeated_joins_once(store: Store) -> None:
    wanted = replace(draft(key="k"), session="trip")
    for expected in (True, False):
        result = await store.executions.accept(wanted, reason=QueueReason.ACCEPTED, detail="")
        assert result.is_new is expected
    second = await store.executions.get(await join(store))
    assert [one.id for one in (await store.executions.list(Filter(session="trip"), limit=9)).items] == [
        second.id,
        wanted.id,
    ]
    assert (await store.sessions.get("trip")).executions == 2


async def test_sessions_are_listed_by_their_last_use(store: Store, clock: RealSleepClock) -> None:
    for name in ("a", "b", "c"):
        await join(store, name, message=f"in {name}")
        clock.move(1)
    last = await join(store, "a", message="in a")
    first = await store.sessions.list(limit=2)
    assert [(one.name, one.executions, one.last_message) for one in first] == [("a", 2, "in a"), ("c", 1, "in c")]
    assert (first[0].last, first[0].last_phase, first[0].agent_name) == (last, Phase.PENDING, "Writer")
    rest = await store.sessions.list(limit=2, after=(first[1].updated_at, "c"))
    assert [one.name for one in rest] == ["b"]
    with pytest.raises(NotFound, match="there is no session d"):
        await store.sessions.get("d")


async def test_what_an_open_execution_sees_is_not_pruned_and_an_empty_session_is_gone(store: Store) -> None:
    old = await join(store, message="old?")
    await end(store, old, "old")
    last = await join(store)
    await begin(store, last)
    assert await store.pruning.delete([old]) == set()
    assert await store.pruning.find_old(START + timedelta(days=1), limit=9) == []
    with pytest.raises(Conflict, match=f"{last} of session trip has not ended"):
        await store.sessions.read_some("trip")
    await store.runs.finish(last, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.COMPLETED, output="x"))
    assert set(await store.sessions.read_some("trip")) == {old, last}
    assert await store.pruning.delete([old]) == {old}
    assert (await store.sessions.get("trip")).executions == 1
    assert await store.pruning.delete([last]) == {last}
    assert await store.sessions.list(limit=9) == []


async def test_who_joins_while_the_last_ones_are_pruned_keeps_the_session(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not store.is_shared:
        return  # there one writes at a time
    last = await join(store)
    await end(store, last, "done")
    has_joined = asyncio.Event()

    async def join_slowly(*args: Any) -> None:
        await join_session(*args)
        has_joined.set()
        await asyncio.sleep(0.2)  # while the other one waits for the session

    monkeypatch.setattr(beginnings, "join_session", join_slowly)
    async with asyncio.TaskGroup() as group:
        group.create_task(join(store))
        await has_joined.wait()
        pruned = group.create_task(store.pruning.delete([last]))
    assert await pruned == {last}
    assert (await store.sessions.get("trip")).executions == 1


async def test_a_session_that_is_deleted_while_another_joins_begins_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not store.is_shared:
        return  # there one writes at a time
    last = await join(store)
    await end(store, last, "done")
    is_locked = asyncio.Event()

    async def forget_slowly(writing: Writing, names: Sequence[str]) -> None:
        await writing.connection.execute(select(sessions).where(sessions.c.name.in_(names)).with_for_update())
        is_locked.set()
        await asyncio.sleep(0.2)  # while the other one finds the session, and waits for it
        await forget_empty_sessions(writing, names)

    monkeypatch.setattr(pruning, "forget_empty_sessions", forget_slowly)
    async with asyncio.TaskGroup() as group:
        group.create_task(store.pruning.delete([last]))
        await is_locked.wait()
        joined = group.create_task(join(store))
    assert [one.id for one in (await store.executions.list(Filter(session="trip"), limit=9)).items] == [await joined]
    assert (await store.sessions.get("trip")).executions == 1


async def test_a_list_of_a_session_that_does_not_exist_is_refused_as_for_an_agent(store: Store) -> None:
    await join(store, "trip-to-lisbon")
    for list_or_count in (store.executions.list, store.executions.count):
        with pytest.raises(NotFound, match=r"there is no session trip-to-lisbin; did you mean trip-to-lisbon\?"):
            await list_or_count(Filter(session="trip-to-lisbin"), limit=9)
    with pytest.raises(NotFound, match="there is no session other"):
        await store.sessions.get("other")


async def test_another_execution_sees_the_same_conversation_outside_of_the_session(store: Store) -> None:
    before = await join(store, message="one?")
    await end(store, before, "one")
    original = await join(store, message="two?")
    await end(store, original, "two")
    again = replace(draft(), conversation_of=original)
    await store.executions.accept(again, reason=QueueReason.ACCEPTED, detail="")
    assert await store.sessions.begin_conversation(again.id) == [
        Exchange(execution=before, message="one?", output="one", turns=1)
    ]
    found = await store.executions.get(again.id)
    assert (found.session, found.has_conversation) == (None, True)


async def test_the_next_is_told_that_it_has_its_turn(store: Store) -> None:
    told: list[str] = []
    store.runs.on_turn = lambda: told.append("turn")
    first = await join(store)
    await end(store, await accepted(store), "alone")
    assert told == []
    await end(store, first, "done")
    assert told == ["turn"]
    assert [event.type for event in await store.events.list(first)][-1] is EventType.COMPLETED


@pytest.mark.parametrize("is_pruned", [True, False])
async def test_a_recorded_turn_is_taken_over_though_what_it_saw_is_deleted(store: Store, *, is_pruned: bool) -> None:
    def turn(key: str, seen_hash: str) -> StepDraft:
        return StepDraft(
            key=key, kind=StepKind.TURN, name="m", effect=Effect.NONE, nonce=seen_hash, input_hash=seen_hash
        )

    before = await join(store)
    await end(store, before, "hi")
    later = await join(store)
    assert await seen(store, later) == [("hello", "hi")]
    await begin(store, later)
    for key in ("/turns/0", "/turns/1"):
        done = EndedStep(draft=turn(key, "whole"), end=StepEnd(state=StepState.DONE, result='"first"'))
        await store.steps.finish(later, epoch=1, run=RUN, attempt=1, step=done)
    await store.runs.finish(later, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.FAILED, error="it broke"))
    if is_pruned:
        assert await store.pruning.delete([before]) == {before}
    await store.resuming.resume(later, Decision())
    await begin(store, later, epoch=2)
    begun = await store.steps.begin(later, epoch=2, run=RUN, attempt=1, draft=turn("/turns/0", "cut"))
    expected = (BeginAnswer.RECORDED, '"first"') if is_pruned else (BeginAnswer.MISMATCH, None)
    assert (begun.answer, begun.result) == expected
    other = await store.steps.begin(later, epoch=2, run=RUN, attempt=1, draft=turn("/turns/1", "cut"))
    assert other.answer is BeginAnswer.MISMATCH
