"""Journals: a step is performed once, or by whoever may repeat it; whoever no longer counts changes nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.execution import Attention, AttentionCode, TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import BeginAnswer, Effect, Step, StepKind, StepState, find_step_in
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store.attempt_counts import AttemptCounts
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import StepEnd
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import OTHER_RUN, RUN, START, RealSleepClock, running
from tests.contracts.store.journal import DONE, USED, attention, begin, begin_attempt, draft, finish, listed
from tests.support.ids import claim
from tests.support.moves import start_over


async def test_what_ended_attempts_before_the_last_recorded_step_is_not_counted(store: Store) -> None:
    id_ = await running(store)
    for attempt in (2, 3, 4):
        await begin_attempt(store, id_, attempt)
    assert await store.runs.count_attempts(id_) == AttemptCounts(begun=4, processes=4)
    await begin(store, id_, draft(), attempt=4)
    assert (await store.runs.count_attempts(id_)).progressed == 0, "begun is not recorded"
    await finish(store, id_, draft(), attempt=4)
    assert await store.runs.count_attempts(id_) == AttemptCounts(begun=1, processes=1, progressed=4)
    for attempt in (5, 6):
        await begin_attempt(store, id_, attempt)
    busy = Postponement(cause="busy", delay_s=1.0, busy_s=1.0, broke_off=True)
    await store.runs.postpone(id_, epoch=1, run=RUN, attempt=6, postponement=busy)
    await begin_attempt(store, id_, 7)
    counted = AttemptCounts(begun=3, processes=3, model_tries=1, broken_off=1, model_busy_s=1.0, progressed=4)
    assert await store.runs.count_attempts(id_) == counted
    failed = StepEnd(state=StepState.FAILED, error="no")
    await finish(store, id_, draft("/turns/1", effect=Effect.NONE, nonce="n2"), failed, attempt=7)
    assert await store.runs.count_attempts(id_) == AttemptCounts(begun=1, processes=1, progressed=7)


async def test_steps_of_an_earlier_epoch_are_no_progress_of_this_one(store: Store) -> None:
    id_ = await running(store)
    await begin_attempt(store, id_, 2)
    await begin(store, id_, draft(), attempt=2)
    await finish(store, id_, draft(), attempt=2)
    assert await start_over(store, id_, epoch=1, version=(await store.executions.get(id_)).version)
    assert await claim(store, id_, epoch=2, run=OTHER_RUN, runner="mill") is ClaimAnswer.WON
    assert await store.runs.count_attempts(id_) == AttemptCounts(begun=1, processes=1)


async def test_a_step_begins_and_ends_and_its_result_is_recorded(store: Store, clock: RealSleepClock) -> None:
    id_ = await running(store)
    assert not (await store.executions.get(id_)).has_steps
    assert (await begin(store, id_, draft())).answer is BeginAnswer.GO
    assert (await store.executions.get(id_)).has_steps
    clock.move(2)
    end = StepEnd(state=StepState.DONE, result='{"id":7}', usage=USED)
    assert await finish(store, id_, draft(), end) is ReportResult.TAKEN
    (step,) = await listed(store, id_)
    assert step == Step(
        seq=1,
        key="/turns/0/calls/0",
        kind=StepKind.TOOL,
        name="send_mail",
        effect=Effect.ONCE,
        state=StepState.DONE,
        attempts=1,
        started_at=START,
        completed_at=START + timedelta(seconds=2),
        usage=USED,
        epoch=1,
        run=RUN,
        attempt=1,
        runner="mill",
        input_hash="hash",
        result_bytes=8,
    )
    again = await begin(store, id_, draft(nonce="nonce-2"))
    assert (again.answer, again.result) == (BeginAnswer.RECORDED, '{"id":7}')
    contents = await store.steps.read_contents(id_, "/turns/0/calls/0")
    assert contents == await store.steps.read_contents(id_, 1)
    assert (contents.input, contents.result) == ('{"to":"me"}', '{"id":7}')
    with pytest.raises(NotFound, match=f"{id_} has no step 2"):
        await store.steps.read_contents(id_, 2)


async def test_a_recorded_failure_is_answered_with_its_sentence(store: Store) -> None:
    id_ = await running(store)
    await begin(store, id_, draft())
    await finish(store, id_, draft(), StepEnd(state=StepState.FAILED, error="no such address"))
    again = await begin(store, id_, draft(nonce="nonce-2"))
    assert (again.answer, again.result, again.step and again.step.error) == (
        BeginAnswer.RECORDED,
        None,
        "no such address",
    )


async def test_whoever_sends_a_call_again_gets_the_same_answer(store: Store) -> None:
    id_ = await running(store)
    assert [(await begin(store, id_, draft())).answer for _ in range(3)] == [BeginAnswer.GO] * 3
    told: list[TokenUsage] = []
    store.steps.on_usage = told.append
    end = StepEnd(state=StepState.DONE, result="1", usage=USED)
    assert [await finish(store, id_, draft(), end) for _ in range(3)] == [ReportResult.TAKEN] * 3
    (step,) = await listed(store, id_)
    assert (step.attempts, step.state) == (1, StepState.DONE)
    assert (await store.executions.get(id_)).usage == replace(USED, tool_calls=1)
    assert told == [replace(USED, tool_calls=1)]


async def test_another_call_of_the_same_attempt_does_not_know_what_the_first_one_did(store: Store) -> None:
    """Temporal hands an attempt out twice where it was set back: the second one must not act again."""
    id_ = await running(store)
    await begin(store, id_, draft())
    begun = await begin(store, id_, draft(nonce="nonce-2"))
    assert begun.answer is BeginAnswer.UNKNOWN
    assert await finish(store, id_, draft()) is ReportResult.STALE


async def test_a_once_step_in_the_air_marks_the_execution_with_step_tool_time_and_runner(
    store: Store, clock: RealSleepClock
) -> None:
    id_ = await running(store)
    await begin(store, id_, draft())
    clock.move(5)
    await begin_attempt(store, id_, 2)
    begun = await begin(store, id_, draft(nonce="nonce-2"), attempt=2)
    reason = (
        "step /turns/0/calls/0 (tool send_mail) began at 2026-05-04T12:00:00.123Z on runner mill, which is gone, "
        "and nothing says whether it took effect"
    )
    assert (begun.answer, begun.reason) == (BeginAnswer.UNKNOWN, reason)
    found = await attention(store, id_)
    assert found == Attention(code=AttentionCode.EFFECT_UNKNOWN, reason=reason, since=START + timedelta(seconds=5))
    (step,) = await listed(store, id_)
    assert (step.state, step.attempts) == (StepState.UNKNOWN, 1)
    assert (await store.executions.get(id_)).phase is Phase.IN_PROGRESS
    assert await finish(store, id_, draft()) is ReportResult.STALE
    assert await finish(store, id_, draft(), attempt=2) is ReportResult.STALE, "not even with the nonce of the first"


async def test_the_end_of_a_step_that_a_later_attempt_took_over_is_stale(store: Store) -> None:
    id_ = await running(store)
    first, second = (draft(effect=Effect.REPEATABLE, nonce=f"nonce-{n}") for n in (1, 2))
    await begin(store, id_, first)
    await begin_attempt(store, id_, 2)
    assert (await begin(store, id_, second, attempt=2)).answer is BeginAnswer.GO
    assert await finish(store, id_, first, StepEnd(state=StepState.DONE, result="1")) is ReportResult.STALE
    assert await finish(store, id_, first, DONE, attempt=2) is ReportResult.STALE, "it names another call"
    assert await finish(store, id_, second, StepEnd(state=StepState.DONE, result="2"), attempt=2) is ReportResult.TAKEN
    (step,) = await listed(store, id_)
    assert (step.attempts, step.runner, step.state) == (2, "mill-2", StepState.DONE)
    assert (await store.steps.read_contents(id_, 1)).result == "2"


async def test_a_step_that_was_recorded_with_another_input_marks_the_execution(store: Store) -> None:
    id_ = await running(store)
    await begin(store, id_, draft())
    await finish(store, id_, draft())
    begun = await begin(store, id_, draft(nonce="nonce-2", input_hash="other"))
    assert begun.answer is BeginAnswer.MISMATCH
    found = await attention(store, id_)
    assert found is not None
    assert (found.code, found.reason) == (AttentionCode.JOURNAL_MISMATCH, begun.reason)
    assert find_step_in(found.reason) == draft().key
    assert "with another input" in begun.reason


async def test_a_step_that_may_be_repeated_is_recorded_without_having_begun(store: Store) -> None:
    id_ = await running(store)
    turn = draft("/turns/0", effect=Effect.NONE)
    end = StepEnd(state=StepState.DONE, result='"hi"', usage=USED, took_s=2.0)
    assert [await finish(store, id_, turn, end) for _ in range(2)] == [ReportResult.TAKEN] * 2
    (step,) = await listed(store, id_)
    assert (step.started_at, step.completed_at, step.attempts) == (START - timedelta(seconds=2), START, 1)
    assert (await store.executions.get(id_)).usage == replace(USED, tool_calls=1, seconds=2.0)
    with pytest.raises(Conflict, match="has not begun, and its effect is once"):
        await finish(store, id_, draft())


async def test_a_call_that_did_not_begin_takes_over_what_may_be_repeated_and_nothing_that_is_recorded(
    store: Store,
) -> None:
    id_, attempt = await running(store), 1
    for effect, report in ((Effect.NONE, ReportResult.TAKEN), (Effect.ONCE, ReportResult.STALE)):
        key = f"/{effect}"
        await begin(store, id_, draft(key, effect=effect), attempt=attempt)
        await begin_attempt(store, id_, attempt := attempt + 1)
        mine = draft(key, effect=Effect.NONE, nonce="nonce-2")
        assert await finish(store, id_, mine, attempt=attempt) is report
        other = draft(key, effect=Effect.NONE, nonce="nonce-3")
        assert await finish(store, id_, other, attempt=attempt) is ReportResult.STALE


async def test_only_what_is_in_the_air_at_or_below_a_key_is_cut_off(store: Store) -> None:
    id_ = await running(store)
    once = {key: draft(key, nonce=f"nonce-{key}") for key in ("/a", "/a/b", "/ab", "/a_b", "/d", "/unknown/a")}
    for step in once.values():
        await begin(store, id_, step)
    await finish(store, id_, once["/d"])
    await begin(store, id_, draft("/a/c", effect=Effect.REPEATABLE))
    await begin_attempt(store, id_, 2)
    await begin(store, id_, draft("/unknown/a", nonce="nonce-2"), attempt=2)
    await begin(store, id_, draft("/mine", nonce="nonce-2"), attempt=2)
    cut = StepEnd(state=StepState.FAILED, error="it was cut off", result='{"status":500}')

    async def cut_off(*below: str, attempt: int = 2) -> int | None:
        return await store.steps.cut_off(id_, epoch=1, run=RUN, attempt=attempt, below=below, end=cut)

    assert await cut_off("/a", attempt=1) is None, "another attempt counts"
    assert [await cut_off("/a", "/d", "/unknown") for _ in range(2)] == [3, 3], (
        "/ab and /a_b are left, and what this attempt began"
    )
    states = {step.key: (step.state, step.error) for step in await listed(store, id_)}
    failed, begun = (StepState.FAILED, "it was cut off"), (StepState.BEGUN, None)
    assert states == {
        "/a": failed,
        "/a/b": failed,
        "/a/c": begun,
        "/ab": begun,
        "/a_b": begun,
        "/d": (StepState.DONE, None),
        "/mine": begun,
        "/unknown/a": (StepState.UNKNOWN, None),
    }
    assert (await store.steps.read_contents(id_, "/a")).result == '{"status":500}'
    assert await finish(store, id_, draft("/a", nonce="nonce-/a")) is ReportResult.STALE, "its attempt is gone"
    assert await cut_off("") == 0


async def test_an_attempt_that_has_not_begun_writes_nothing(store: Store) -> None:
    id_ = await running(store)
    with pytest.raises(Conflict, match=r"attempt 2 of .* has not begun"):
        await begin(store, id_, draft(), attempt=2)
    with pytest.raises(Conflict, match=r"attempt 2 of .* has not begun"):
        await finish(store, id_, draft(), attempt=2)
    assert await listed(store, id_) == []
