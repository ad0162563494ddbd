"""What a call is told that wants to begin a step: each row of the table, and its laws in any order of moves."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.step import BeginAnswer, Effect, Step, StepKind, StepState
from stigmer_cli.errors import NotFound
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import StepEnd
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import executions, steps
from tests.contracts.store.drafts import OTHER_RUN, RUN, START, running
from tests.contracts.store.journal import attention, begin, begin_attempt, draft, finish, listed


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
