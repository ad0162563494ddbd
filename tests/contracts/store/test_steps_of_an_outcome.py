"""Turns that are recorded with the outcome: once, over what an earlier epoch left, and not by a stale attempt."""

from dataclasses import replace

from stigmer_cli.domain.execution import Outcome, TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect, StepKind, StepState
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import EndedStep, StepEnd
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import step_contents as contents_table
from tests.contracts.store.drafts import OTHER_RUN, RUN, running
from tests.contracts.store.journal import DONE, USED, begin_attempt, draft, finish, listed
from tests.support.ids import claim
from tests.support.moves import start_over


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
