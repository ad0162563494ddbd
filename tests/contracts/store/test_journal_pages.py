"""Journals as they are read: results in pages, listings without contents; and how they are deleted."""

import pytest
from sqlalchemy import event

from stigmer_cli.domain.execution import Outcome
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RESULT_BYTES_MAX, Effect, StepState
from stigmer_cli.store import step_contents
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import StepEnd
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import step_contents as contents_table
from stigmer_cli.store.tables import steps
from tests.contracts.store.drafts import RUN, accepted, running
from tests.contracts.store.journal import begin, draft, finish


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
