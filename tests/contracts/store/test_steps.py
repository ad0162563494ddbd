"""Journals: a step is performed once, or by whoever may repeat it; whoever no longer counts changes nothing."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, update

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.execution import Attention, AttentionCode, Outcome, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RESULT_BYTES_MAX, BeginAnswer, Effect, Step, StepKind, StepState, find_step_in
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store import step_contents
from stigmer_cli.store.attempt_counts import AttemptCounts
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.steps import Begun
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import executions, steps
from stigmer_cli.store.tables import step_contents as contents_table
from tests.contracts.store.drafts import OTHER_RUN, RUN, START, RealSleepClock, accepted, running
from tests.support.ids import claim
from tests.support.moves import start_over

USED = TokenUsage(model="m", input_tokens=3, output_tokens=2)
DONE = StepEnd(state=StepState.DONE, result='"sent"', took_s=2.0)


def draft(
    key: str = "/turns/0/calls/0",
    *,
    effect: Effect = Effect.ONCE,
    nonce: str = "nonce-1",
    input_hash: str = "hash",
    input_text: str | None = '{"to":"me"}',
) -> StepDraft:
    return StepDraft(
        key=key,
        kind=StepKind.TOOL,
        name="send_mail",
        effect=effect,
        nonce=nonce,
        input_hash=input_hash,
        input=input_text,
    )


async def begin(
    store: Store, id_: ExecutionId, step: StepDraft, *, epoch: int = 1, run: RunId = RUN, attempt: int = 1
) -> Begun:
    return await store.steps.begin(id_, epoch=epoch, run=run, attempt=attempt, draft=step)


async def finish(
    store: Store, id_: ExecutionId, step: StepDraft, end: StepEnd = DONE, *, attempt: int = 1
) -> ReportResult:
    return await store.steps.finish(id_, epoch=1, run=RUN, attempt=attempt, step=EndedStep(draft=step, end=end))


async def begin_attempt(store: Store, id_: ExecutionId, attempt: int) -> None:
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=attempt, runner=f"mill-{attempt}")


async def listed(store: Store, id_: ExecutionId) -> list[Step]:
    return list(await store.steps.list(id_, after=0, limit=1_000))


async def attention(store: Store, id_: ExecutionId) -> Attention | None:
    return (await store.executions.get(id_)).attention


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


class Case(NamedTuple):
    """What `begin` finds, and who asks."""

    state: StepState | None
    effect: Effect
    is_same_call: bool
    is_same_input: bool
    epoch: int
    run: RunId
    attempt: int


STALE = [who for who in itertools.product((1, 2), (RUN, OTHER_RUN), (1, 2)) if who != (1, RUN, 2)]
CASES = [
    *(Case(*found, 1, RUN, 2) for found in itertools.product((None, *StepState), Effect, (True, False), (True, False))),
    *(
        Case(state, Effect.ONCE, is_same_call, True, *who)
        for state in (None, StepState.BEGUN, StepState.DONE)
        for is_same_call in (True, False)
        for who in STALE
    ),
]

_GO, _RECORDED, _UNKNOWN = BeginAnswer.GO, BeginAnswer.RECORDED, BeginAnswer.UNKNOWN
_BEGUN: Mapping[tuple[Effect, bool], BeginAnswer] = {
    (Effect.NONE, True): _GO,
    (Effect.NONE, False): _GO,
    (Effect.REPEATABLE, True): _GO,
    (Effect.REPEATABLE, False): _GO,
    (Effect.ONCE, True): _GO,
    (Effect.ONCE, False): _UNKNOWN,
}


def expected(case: Case) -> BeginAnswer:
    if (case.epoch, case.run, case.attempt) != (1, RUN, 2):
        return BeginAnswer.STALE
    match case.state:
        case None:
            return _GO
        case StepState.BEGUN:
            return _BEGUN[case.effect, case.is_same_call]
        case StepState.UNKNOWN:
            return _UNKNOWN
        case StepState.DONE | StepState.FAILED | StepState.SKIPPED:
            return _RECORDED if case.is_same_input else BeginAnswer.MISMATCH


MARKS = {BeginAnswer.UNKNOWN: AttentionCode.EFFECT_UNKNOWN, BeginAnswer.MISMATCH: AttentionCode.JOURNAL_MISMATCH}


async def put(store: Store, id_: ExecutionId, number: int, case: Case) -> None:
    """Bring a step of a new execution to `case.state`, begun by attempt 1."""
    row = {
        "execution_id": id_,
        "seq": 10_000 + number,
        "key": f"/{number}",
        "kind": StepKind.TOOL,
        "name": "t",
        "effect": case.effect,
        "state": case.state,
        "attempts": 1,
        "started_at": START,
        "epoch": 1,
        "run": RUN,
        "attempt": 1,
        "runner": "mill",
        "nonce": "nonce-1",
        "input_hash": "hash",
        "result_bytes": 0,
        "is_outcome": False,
    }
    async with store._database.writing() as writing:
        await writing.connection.execute(insert(steps), row)


async def look(store: Store, id_: ExecutionId, number: int) -> Step | None:
    try:
        return (await store.steps.read_contents(id_, f"/{number}")).step
    except NotFound:
        return None


async def unmark(store: Store) -> None:
    async with store._database.writing() as writing:
        await writing.connection.execute(update(executions).values(attention_code=None))


async def test_each_answer_to_begin_is_as_the_table_says(store: Store) -> None:
    """Every state, effect, call and input there is, and every caller that no longer counts."""
    id_ = await running(store)
    await begin_attempt(store, id_, 2)
    for number, case in enumerate(CASES, 1):
        if case.state is not None:
            await put(store, id_, number, case)
        before = await look(store, id_, number)
        asked = draft(
            f"/{number}",
            effect=case.effect,
            nonce="nonce-1" if case.is_same_call else "nonce-2",
            input_hash="hash" if case.is_same_input else "other",
        )
        begun = await begin(store, id_, asked, epoch=case.epoch, run=case.run, attempt=case.attempt)
        assert begun.answer is expected(case), case
        mark = await attention(store, id_)
        assert (mark and mark.code) == MARKS.get(begun.answer), case
        if mark:
            await unmark(store)
        after = await look(store, id_, number)
        is_taken = begun.answer is BeginAnswer.GO and not (case.state is StepState.BEGUN and case.is_same_call)
        if is_taken:
            assert after is not None
            assert (after.state, after.attempt) == (StepState.BEGUN, 2), case
            assert after.attempts == (2 if case.state else 1), case
        elif begun.answer is BeginAnswer.UNKNOWN:
            assert after is not None
            assert after.state is StepState.UNKNOWN, case
        elif case.state is not None:
            assert after == before, case
        else:
            assert after is None, case


class Move(NamedTuple):
    """One move of whoever performs steps: begin, finish, a new attempt, or a call that is sent again."""

    what: str
    key: int
    attempt: int
    nonce: int


MOVES = st.builds(
    Move,
    what=st.sampled_from(["begin", "begin", "finish", "finish", "attempt"]),
    key=st.integers(0, 2),
    attempt=st.integers(1, 3),
    nonce=st.integers(0, 3),
)
EFFECTS = (Effect.ONCE, Effect.REPEATABLE, Effect.NONE)


@given(moves=st.lists(MOVES, max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_once_step_is_given_to_two_calls_and_no_recorded_result_changes(
    store: Store, moves: list[Move]
) -> None:
    id_ = await running(store)
    now = 1
    went: dict[int, set[str]] = defaultdict(set)
    recorded: dict[int, str] = {}
    for move in moves:
        if move.what == "attempt":
            now += 1
            await begin_attempt(store, id_, now)
            continue
        attempt = min(move.attempt, now)
        nonce = f"nonce-{attempt}-{move.nonce}"
        step = draft(f"/{move.key}", effect=EFFECTS[move.key], nonce=nonce)
        if move.what == "begin":
            begun = await begin(store, id_, step, attempt=attempt)
            if begun.answer is BeginAnswer.GO:
                assert move.key not in recorded, "it is performed again though its result is recorded"
                went[move.key].add(nonce)
            elif begun.answer is BeginAnswer.RECORDED:
                assert begun.result == recorded[move.key]
        elif nonce in went[move.key]:
            result = f'"{nonce}"'
            ended = await finish(store, id_, step, StepEnd(state=StepState.DONE, result=result), attempt=attempt)
            if ended is ReportResult.TAKEN:
                assert recorded.setdefault(move.key, result) == result
        assert len(went[0]) <= 1, "a step whose effect is once was given to two calls"


async def test_two_begin_one_step_at_the_same_time_and_one_performs_it(store: Store) -> None:
    id_ = await running(store)
    calls = [begin(store, id_, draft(nonce=f"nonce-{number}")) for number in range(8)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    answers = sorted(task.result().answer for task in tasks)
    assert answers == [BeginAnswer.GO, *[BeginAnswer.UNKNOWN] * 7]


async def test_parallel_steps_are_numbered_without_gaps(store: Store) -> None:
    id_ = await running(store)
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(begin(store, id_, draft(f"/{number}", nonce=f"nonce-{number}")))
    assert [step.seq for step in await listed(store, id_)] == list(range(1, 21))
    assert [step.seq for step in await store.steps.list_last(id_, limit=3)] == [18, 19, 20]
    assert await store.steps.count(id_) == 20


async def test_the_only_turn_is_recorded_with_the_outcome_and_its_text_is_kept_once(store: Store) -> None:
    id_ = await running(store)
    turn = EndedStep(
        draft=draft("/turns/0", effect=Effect.NONE, input_text=None),
        end=StepEnd(state=StepState.DONE, usage=USED, took_s=1.0, is_outcome=True),
    )
    outcome = Outcome(phase=Phase.COMPLETED, output='a "quoted" answer', usage=USED)
    for expected_answer in (ReportResult.TAKEN, ReportResult.DONE):
        report = await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome, steps=[turn])
        assert report is expected_answer
    (step,) = await listed(store, id_)
    assert (step.state, step.attempts, step.usage) == (StepState.DONE, 1, USED)
    assert (await store.executions.get(id_)).usage == USED, "counted with the outcome, not once more with the step"
    contents = await store.steps.read_contents(id_, 1)
    assert (contents.input, contents.result) == (None, '"a \\"quoted\\" answer"')
    page = await store.steps.read_recorded(id_, after=0)
    assert [item.result for item in page.items] == [contents.result]
    async with store._database.reading() as connection:
        assert (await connection.execute(contents_table.select())).all() == []


async def test_a_turn_whose_tokens_nobody_counts_is_counted(store: Store) -> None:
    id_ = await running(store)
    told: list[TokenUsage] = []
    store.runs.on_usage = told.append
    turn = EndedStep(
        draft=replace(draft("/turns/0", effect=Effect.NONE), kind=StepKind.TURN, name="echo"),
        end=StepEnd(state=StepState.DONE, took_s=0.5, is_outcome=True),
    )
    outcome = Outcome(phase=Phase.COMPLETED, output="x")
    for _ in range(2):
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome, steps=[turn])
    used = TokenUsage(model="echo", cost=0.0, turns=1, seconds=0.5)
    assert (await store.executions.get(id_)).usage == used
    assert told == [used]


async def test_a_turn_with_an_outcome_is_written_over_what_an_earlier_epoch_left(store: Store) -> None:
    id_ = await running(store)
    turn = draft("/turns/0", effect=Effect.NONE)
    await finish(store, id_, turn, StepEnd(state=StepState.FAILED, error="no key"))
    version = (await store.executions.get(id_)).version
    assert await start_over(store, id_, epoch=1, version=version)
    await claim(store, id_, epoch=2, run=OTHER_RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=2, run=OTHER_RUN, attempt=1, runner="mill")
    ended = EndedStep(
        draft=draft("/turns/0", effect=Effect.NONE, nonce="nonce-9", input_text=None),
        end=StepEnd(state=StepState.DONE, is_outcome=True),
    )
    outcome = Outcome(phase=Phase.COMPLETED, output="x")
    assert (
        await store.runs.finish(id_, epoch=2, run=OTHER_RUN, attempt=1, outcome=outcome, steps=[ended])
        is ReportResult.TAKEN
    )
    (step,) = await listed(store, id_)
    assert (step.state, step.attempts, step.epoch, step.error) == (StepState.DONE, 2, 2, None)
    assert (await store.steps.read_contents(id_, 1)).input is None


async def test_a_step_of_an_outcome_that_is_stale_is_not_written(store: Store) -> None:
    id_ = await running(store)
    await begin_attempt(store, id_, 2)
    turn = EndedStep(draft=draft("/turns/0", effect=Effect.NONE), end=DONE)
    outcome = Outcome(phase=Phase.COMPLETED, output="x")
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome, steps=[turn])
    assert await listed(store, id_) == []


async def record(store: Store, id_: ExecutionId, number: int, text: str) -> None:
    step = draft(f"/{number}", effect=Effect.NONE, input_text=None, nonce=f"nonce-{number}")
    assert await finish(store, id_, step, StepEnd(state=StepState.DONE, result=text)) is ReportResult.TAKEN


async def test_recorded_results_are_read_in_pages_of_bounded_length(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_contents, "PAGE_BYTES_MAX", 100)
    id_ = await running(store)
    lengths = (40, 40, 40, 500, 1, 1)
    for number, length in enumerate(lengths):
        await record(store, id_, number, "x" * length)
    await begin(store, id_, draft("/begun"))
    pages, after = [], 0
    while True:
        page = await store.steps.read_recorded(id_, after=after)
        pages.append([len(item.result or "") for item in page.items])
        if page.next_after is None:
            break
        after = page.next_after
    assert pages == [[40, 40], [40], [500], [1, 1]]


async def test_a_result_of_the_largest_size_comes_back_as_it_was(store: Store) -> None:
    id_ = await running(store)
    text = '"' + "ä" * (RESULT_BYTES_MAX // 2 - 1) + '"'
    assert len(text.encode()) == RESULT_BYTES_MAX
    await record(store, id_, 0, text)
    assert (await store.steps.read_recorded(id_, after=0)).items[0].result == text


async def test_a_listing_reads_no_contents(store: Store) -> None:
    id_ = await running(store)
    await record(store, id_, 0, "1")
    statements: list[str] = []
    engine = store._database._backend.reader.sync_engine

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    await store.steps.list(id_, after=0, limit=10)
    await store.steps.list_last(id_, limit=10)
    assert [statement for statement in statements if "step_contents" in statement] == []
    assert [statement for statement in statements if "FROM steps" in statement] != []


async def test_steps_in_the_air_are_found_for_many_executions_at_once(store: Store) -> None:
    one, other, third = [await running(store) for _ in range(3)]
    await begin(store, one, draft("/a"))
    await begin(store, one, draft("/b", effect=Effect.REPEATABLE))
    await begin(store, other, draft("/c"))
    await finish(store, other, draft("/c"))
    found = await store.progress.read([one, other, third, await accepted(store)])
    assert {id_: [step.in_the_air.key] for id_, step in found.items() if step.in_the_air} == {one: ["/a"]}


async def test_a_journal_is_deleted_with_its_execution_and_no_other(store: Store) -> None:
    kept, pruned = [await running(store) for _ in range(2)]
    for id_ in (kept, pruned):
        await begin(store, id_, draft())
        await finish(store, id_, draft())
    await store.runs.finish(pruned, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.COMPLETED, output="x"))
    assert await store.pruning.delete([kept, pruned]) == {pruned}
    async with store._database.reading() as connection:
        for table in (steps, contents_table):
            assert set(await connection.scalars(table.select().with_only_columns(table.c.execution_id))) == {kept}
