"""What began before stores had ids goes on under its old names, until its epoch is over."""

import sqlite3
from contextlib import closing
from pathlib import Path

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import Outcome, QueueReason, TokenUsage
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import RUN, WITH_PIECES, WITHOUT_COUNTS, WITHOUT_SEARCH, running, submitted
from tests.support.ids import workflow
from tests.support.moves import requeue

OLD_ID = "0123456789abcdef0123456789abcdef"


FILL_PIECES = """
    INSERT INTO message_pieces
        SELECT execution_id, 1, data ->> 'index', seq, data ->> 'offset', length(data ->> 'text'), data ->> 'role',
            data ->> 'text'
        FROM events JOIN executions ON execution_id = id WHERE type = 'message' AND seq > answer_seq
"""


async def test_an_open_row_of_an_old_store_keeps_its_names_and_gets_new_ones_with_its_next_submit(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/stigmer.db"
    id_ = await _as_it_was_before_stores_had_ids(url, tmp_path / "stigmer.db")
    async with await open_store(url, clock=SystemClock()) as store:
        assert store.id.startswith("str-"), "the store got an id of the new form"
        old = await store.executions.get(id_)
        assert old.workflow == workflow(id_, store=None)
        assert (old.workflow.id, old.workflow.task_queue) == (f"stigmer/agent-execution/invoke/{id_}", "stigmer")
        assert await store.executions.has_legacy(), "its runners still poll the old queue"
        assert await requeue(store, id_, epoch=1, version=old.version, reason=QueueReason.ORPHANED, detail="forgotten")
        assert (await store.executions.get(id_)).workflow == workflow(id_, store=store.id)
        assert not await store.executions.has_legacy()


async def _as_it_was_before_stores_had_ids(url: str, file: Path) -> ExecutionId:
    """A store with one submitted row, taken back to the schema from before."""
    async with await open_store(url, clock=SystemClock()) as store:
        id_ = await submitted(store)
    with sqlite3.connect(file) as connection:
        connection.executescript(";".join(WITHOUT_SEARCH["sqlite"]))
        connection.executescript(
            "ALTER TABLE executions DROP COLUMN usage;"
            "DROP INDEX ix_executions_legacy; ALTER TABLE executions DROP COLUMN store_id; DROP TABLE servers;"
            "UPDATE alembic_version SET version_num = '0001';"
        )
        connection.execute("UPDATE meta SET value = ? WHERE key = 'store_id'", (OLD_ID,))
    connection.close()
    return id_


async def test_a_store_from_before_tokens_were_counted_is_read_and_counts_from_now_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/stigmer.db"
    async with await open_store(url, clock=SystemClock()) as store:
        id_ = await running(store)
    with closing(sqlite3.connect(tmp_path / "stigmer.db")) as connection:
        connection.executescript(";".join(WITHOUT_SEARCH["sqlite"]))
        connection.executescript(
            "ALTER TABLE executions DROP COLUMN usage; UPDATE alembic_version SET version_num = '0002';"
        )
    used = TokenUsage(model="openai:m", input_tokens=1)
    async with await open_store(url, clock=SystemClock()) as store:
        assert (await store.executions.get(id_)).usage is None
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.COMPLETED, usage=used))
        assert (await store.executions.get(id_)).usage == used


async def _say(store: Store, id_: ExecutionId, offset: int, text: str, *, attempt: int = 2) -> None:
    await store.runs.append_message(
        id_, epoch=1, run=RUN, attempt=attempt, index=0, offset=offset, role="assistant", text=text
    )


async def test_messages_of_a_store_that_had_them_twice_are_the_same_and_go_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/stigmer.db"
    async with await open_store(url, clock=SystemClock()) as store:
        quiet, half, done = [await running(store) for _ in range(3)]
        for id_ in (half, done):
            await _say(store, id_, 0, "withdrawn", attempt=1)
            await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="mill")
            await _say(store, id_, 0, "the ")
            await _say(store, id_, 4, "answer")
        await store.runs.finish(done, epoch=1, run=RUN, attempt=2, outcome=Outcome(phase=Phase.COMPLETED, output="x"))
        before = {id_: (await store.executions.get(id_), await store.events.list(id_)) for id_ in (quiet, half, done)}
    with closing(sqlite3.connect(tmp_path / "stigmer.db")) as connection:
        create, *rest = WITH_PIECES
        connection.executescript(";".join((*WITHOUT_COUNTS["sqlite"], create, FILL_PIECES, *rest)))
        assert connection.execute("SELECT count(*) FROM message_pieces").fetchone() == (4,)
    async with await open_store(url, clock=SystemClock()) as store:
        for id_, found in before.items():
            assert (await store.executions.get(id_), await store.events.list(id_)) == found
        await _say(store, quiet, 0, "first", attempt=1)
        await _say(store, half, 10, " goes on")
        assert [(await store.executions.get(id_)).messages[0].content for id_ in (quiet, half)] == [
            "first",
            "the answer goes on",
        ]
