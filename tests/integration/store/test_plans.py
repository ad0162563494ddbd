"""A million finished executions are not read to find the few that matter: each query is answered from its index."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from stigmer_cli.domain.execution import AttentionCode, QueueReason
from stigmer_cli.domain.execution_reference import IdPart
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.labels import LabelSelector
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.search import parse_search
from stigmer_cli.store import transitions
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.executions import Decided, Taken
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.statements import PRIMARY_KEY
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import AGENT, RUN, START, RealSleepClock, Stage, accepted, bring_to, draft
from tests.contracts.store.test_resuming_workflows import begun, end, ended, fail, start
from tests.support.ids import STORE

LATER = START + timedelta(days=1)
AGED = Aged.by(LATER, s=0)
CURSOR = "1777896000123456.aex-1"
MANY = 50
"""So many at once that SQLite would rather read all that is open than look for each."""


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    async with await open_store(f"sqlite:///{file}", clock=RealSleepClock()) as opened:
        yield opened


OF_TURNS = ("CORRELATED SCALAR SUBQUERY", "SEARCH earlier USING INDEX ix_executions_session_open (session=? AND")
"""What looks whether an execution of a session has its turn; it is asked of those only."""

QUERIES: dict[str, tuple[Callable[[Store], Awaitable[object]], str]] = {
    "due": (lambda s: s.executions.read_due(now=LATER, limit=10), "ix_executions_queue"),
    "next due": (lambda s: s.executions.next_due_at(), "ix_executions_next_try"),
    "queued": (lambda s: s.executions.queued_count(), "ix_executions_"),
    "cancel": (lambda s: s.executions.find_cancel_requested(limit=10), "ix_executions_cancel"),
    "open": (lambda s: s.executions.open_after(aged=AGED, after=None, limit=10), "ix_executions_open"),
    "open on": (
        lambda s: s.executions.open_after(aged=AGED, after=ExecutionId("aex-1"), limit=10),
        "ix_executions_open",
    ),
    "oldest": (lambda s: s.executions.oldest_pending_at(), "ix_executions_phase"),
    "all": (lambda s: s.executions.list(Filter(), limit=10), "ix_executions_created"),
    "all on": (lambda s: s.executions.list(Filter(), limit=10, cursor=CURSOR), "ix_executions_created"),
    "old": (lambda s: s.executions.list(Filter(aged=AGED), limit=10), "ix_executions_created"),
    "phase": (
        lambda s: s.executions.list(Filter(phases=frozenset({Phase.FAILED})), limit=10, cursor=CURSOR),
        "ix_executions_phase",
    ),
    "phase and kind": (
        lambda s: s.executions.list(
            Filter(phases=frozenset({Phase.PENDING}), kinds=frozenset({Kind.AGENT}), aged=AGED), limit=10
        ),
        "ix_executions_phase",
    ),
    "agent": (lambda s: s.executions.list(Filter(agent=AGENT), limit=10), "ix_executions_agent"),
    "beginning": (
        lambda s: s.executions.find_by_part(IdPart(part="01m8", prefix="aex"), limit=6),
        PRIMARY_KEY,
    ),
    "attention": (lambda s: s.executions.list(Filter(needs_attention=True), limit=10), "ix_executions_attention"),
}


SUMS: dict[str, tuple[Callable[[Store], Awaitable[object]], str]] = {
    "usage since": (lambda s: s.usage.sum(since=LATER), "ix_executions_created"),
    "usage by workflow since": (lambda s: s.usage.sum(since=LATER, is_by_workflow=True), "ix_executions_created"),
    "usage of an agent since": (lambda s: s.usage.sum(since=LATER, agent=AGENT), "ix_executions_agent"),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_is_answered_from_its_index_without_sorting(store: Store, name: str) -> None:
    ask, index = QUERIES[name]
    for steps in await _plans(store, ask):
        assert all(index in step or step.startswith(OF_TURNS) for step in steps), steps
        assert any(index in step for step in steps), steps
        assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize("name", SUMS)
async def test_sums_read_the_span_of_time_that_they_are_about(store: Store, name: str) -> None:
    ask, index = SUMS[name]
    for steps in await _plans(store, ask):
        assert any(f"INDEX {index} (" in step and "created_at>" in step for step in steps), steps


async def _plans(store: Store, ask: Callable[[Store], Awaitable[object]]) -> list[list[str]]:
    """The steps of each query that `ask` makes."""
    await accepted(store)
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_c: Connection, _cursor: object, statement: str, parameters: tuple[object, ...], *_rest: object) -> None:
        if "FROM executions" in statement and "executions.id IN" not in statement:
            asked.append((statement, parameters))

    engine = store._database._backend.reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await ask(store)
    event.remove(engine, "before_cursor_execute", note)
    assert asked
    plans = []
    for statement, parameters in asked:
        async with store._database.reading() as connection:
            explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append([row["detail"] for row in explained.mappings()])
    return plans


PHASES = frozenset({Phase.FAILED})
FOUND: dict[str, tuple[Filter, Sequence[str]]] = {
    "label": (Filter(labels=[LabelSelector(key="a", value="b")]), ("SEARCH execution_labels USING PRIMARY KEY",)),
    "label within": (
        Filter(labels=[LabelSelector(key="a")], since=START, until=LATER, phases=PHASES),
        ("SEARCH execution_labels USING PRIMARY KEY",),
    ),
    "two labels": (
        Filter(labels=[LabelSelector(key="all"), LabelSelector(key="a")]),
        (
            "SEARCH execution_labels USING PRIMARY KEY",
            "SEARCH execution_labels_1 USING PRIMARY KEY (label=? AND created_at=? AND execution_id=?)",
        ),
    ),
    "search": (Filter(search=parse_search("rare")), ("SCAN execution_texts VIRTUAL TABLE INDEX ",)),
    "search and label": (
        Filter(search=parse_search("rare"), labels=[LabelSelector(key="all")], agent=AGENT, since=START),
        ("SCAN execution_texts VIRTUAL TABLE INDEX ",),
    ),
    "a common word and a rare label": (
        Filter(search=parse_search("common"), labels=[LabelSelector(key="a")], agent=AGENT),
        ("SEARCH execution_labels USING PRIMARY KEY", "SCAN execution_texts VIRTUAL TABLE INDEX 0:=M"),
    ),
    "a common word and a rare phase": (
        Filter(search=parse_search("common"), labels=[LabelSelector(key="all")], phases=PHASES),
        ("SEARCH executions USING COVERING INDEX ix_executions_phase", "SCAN execution_texts VIRTUAL TABLE INDEX 0:=M"),
    ),
    "a common word and a rare agent": (
        Filter(search=parse_search("common"), agent=f"agt-{1:026d}"),
        ("SEARCH executions USING COVERING INDEX ix_executions_agent", "SCAN execution_texts VIRTUAL TABLE INDEX 0:=M"),
    ),
}
"""Filters, and how each is answered: steps that the plan of every query has, the first one first."""


@pytest.fixture
async def filled(store: Store) -> Store:
    """Executions of which few have a label, a word, or are FAILED, and all have another label and another word."""
    for number in range(6):
        labels = {"all": ""} | ({"a": "b"} if number < 2 else {})
        message = "common" + (" rare" if number < 2 else "")
        await store.executions.accept(draft(message=message, labels=labels), reason=QueueReason.ACCEPTED, detail="")
    for _ in range(3):
        await bring_to(store, Stage.FAILED)
    return store


@pytest.mark.parametrize("name", FOUND)
async def test_what_is_searched_is_read_in_order_from_the_index_that_holds_fewest(filled: Store, name: str) -> None:
    wanted, expected = FOUND[name]
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_c: Connection, _cursor: object, statement: str, parameters: tuple[object, ...], *_rest: object) -> None:
        if "ORDER BY" in statement and "executions.id IN" not in statement:
            asked.append((statement, parameters))

    engine = filled._database._backend.reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await filled.executions.list(wanted, limit=10)
    await filled.executions.list(wanted, limit=10, cursor=CURSOR)
    event.remove(engine, "before_cursor_execute", note)
    assert asked
    for statement, parameters in asked:
        async with filled._database.reading() as connection:
            explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row["detail"] for row in explained.mappings()]
        assert steps[0].startswith(expected[0]), steps
        for step in expected[1:]:
            assert any(one.startswith(step) for one in steps), steps
        assert not any("TEMP B-TREE" in step for step in steps), steps


async def _mark(store: Store, names: Sequence[ExecutionId]) -> None:
    marks = [Taken(id=name, epoch=1, run_id=RUN, cluster="w", already=False) for name in names]
    assert await store.executions.mark_all_submitted(marks) == set(names)


async def _move(store: Store, names: Sequence[ExecutionId]) -> None:
    await _mark(store, names)
    decided: dict[ExecutionId, Decided] = {
        name: lambda now: transitions.requeue(STORE, QueueReason.ORPHANED, "", epoch=1, version=2, now=now)
        for name in names[1:]
    }
    decided[names[0]] = lambda now: transitions.mark(AttentionCode.LOST, "", epoch=1, version=2, now=now)
    assert await store.executions.transition_all(decided) == set(names)


async def _ask(store: Store, names: Sequence[ExecutionId]) -> None:
    assert len(await store.executions.find_unsubmitted(names)) == len(names)


async def _list(store: Store, names: Sequence[ExecutionId]) -> None:
    assert len((await store.executions.list(Filter(), limit=MANY)).items) == len(names)


@pytest.mark.parametrize("ask", [_mark, _move, _ask, _list])
async def test_what_is_named_is_looked_up_by_name_however_many_others_are_open(
    store: Store, ask: Callable[[Store, Sequence[ExecutionId]], Awaitable[None]]
) -> None:
    names = [await accepted(store) for _ in range(MANY)]
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_c: Connection, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        if "executions.id IN" in statement or "executions.id = " in statement:
            asked.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

    engines = [store._database._backend.reader.sync_engine, store._database._backend.writer.sync_engine]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    await ask(store, names)
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    assert asked
    for statement, parameters in asked:
        async with store._database.reading() as connection:
            explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            [step, *_] = [row["detail"] for row in explained.mappings()]
        assert step == f"SEARCH executions USING INDEX {PRIMARY_KEY} (id=?)", step


async def test_what_a_resume_looks_for_is_found_by_name_and_the_children_of_a_workflow_are_too(store: Store) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_c: Connection, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        if statement.startswith("SELECT") and "FROM executions" in statement:
            asked.append((statement, parameters))

    engine = store._database._backend.writer.sync_engine
    for decision in (Decision(), Decision(forget_from="/do/0/ask")):
        id_ = await begun(store)
        child = await start(store, id_, "/do/0/ask")
        await end(store, child, Phase.FAILED)
        await ended(store, id_, "/do/0/ask", "no", name="ask: agent")
        await fail(store, id_, "no")
        event.listen(engine, "before_cursor_execute", note)
        await store.resuming.resume(id_, decision)
        event.remove(engine, "before_cursor_execute", note)
    assert any("executions.id >= " in statement for statement, _ in asked)
    for statement, parameters in asked:
        async with store._database.reading() as connection:
            explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row["detail"] for row in explained.mappings()]
        read = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
        assert all(PRIMARY_KEY in step or "steps USING INDEX ux_steps_key" in step for step in read), steps


async def test_each_connection_keeps_what_it_acknowledges(store: Store) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    async with store._database.writing() as writing:
        for pragma, value in wanted.items():
            assert await writing.connection.scalar(text(f"PRAGMA {pragma}")) == value
    async with store._database.reading() as connection:
        assert await connection.scalar(text("PRAGMA query_only")) == 1
