"""The driver of SQLite: one call of a connection's thread for each statement, and transactions that end."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import StoreBusy
from stigmer_cli.store import engine
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.engine import Backend, open_backend
from stigmer_cli.store.migrate import SCRIPTS

INSERT = text("INSERT INTO meta (key, value) VALUES (:key, :value)")
READ = text("SELECT value FROM meta WHERE key = 'a'")


@pytest.fixture
async def backend(file: Path) -> AsyncIterator[Backend]:
    opened = await open_backend(
        f"sqlite:///{file}", clock=SystemClock(), owner="here", busy_timeout_s=0.2, scripts=SCRIPTS
    )
    yield opened
    await opened.close(keeps_log=False)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that have waited for the thread of a connection."""
    made: list[str] = []
    execute = aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, act: Callable[..., Any], *given: Any, **options: Any) -> Any:
        made.append(act.__name__)
        return await execute(self, act, *given, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return made


async def test_a_statement_is_one_call_with_its_begin_and_its_rows(backend: Backend, calls: list[str]) -> None:
    async with backend.writer.begin() as connection:
        await connection.execute(INSERT, {"key": "a", "value": "1"})
        await connection.execute(READ)
        calls.clear()
        await connection.execute(READ)
        assert calls == ["run"]
    async with backend.reader.connect() as connection:
        await connection.execute(READ)
        calls.clear()
        assert (await connection.execute(READ)).scalars().all() == ["1"]
    assert calls == ["run"]


async def test_an_insert_is_done_with_what_comes_next_and_seen_by_it(backend: Backend, calls: list[str]) -> None:
    async with backend.writer.begin() as connection:
        await connection.execute(READ)
        calls.clear()
        await connection.execute(INSERT, {"key": "a", "value": "1"})
        assert calls == []
        assert (await connection.execute(READ)).scalar_one() == "1"
        await connection.execute(INSERT, {"key": "b", "value": "2"})
    assert calls == ["run", "run"]  # the read and the commit
    async with backend.reader.connect() as connection:
        assert len((await connection.execute(text("SELECT * FROM meta WHERE key IN ('a', 'b')"))).all()) == 2


async def test_a_reader_holds_no_snapshot_once_it_has_read(backend: Backend, file: Path) -> None:
    async with backend.writer.begin() as connection:
        await connection.execute(INSERT, {"key": "a", "value": "1"})
    async with backend.reader.connect() as connection:
        assert (await connection.execute(READ)).scalar_one() == "1"
    async with backend.writer.begin() as connection:
        await connection.execute(INSERT, {"key": "b", "value": "2"})
    async with backend.reader.connect() as connection:
        assert len((await connection.execute(text("SELECT * FROM meta WHERE key IN ('a', 'b')"))).all()) == 2
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA busy_timeout=2000")
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


async def test_the_log_shrinks_once_nobody_reads_an_old_state_of_the_file_any_more(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WAL_BYTES_MAX", 500_000)
    backend = await open_backend(
        f"sqlite:///{file}", clock=SystemClock(), owner="here", busy_timeout_s=0.2, scripts=SCRIPTS
    )
    log = file.with_name(f"{file.name}-wal")
    async with backend.writer.begin() as connection:
        await connection.execute(INSERT, {"key": "a", "value": "x"})
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        for number in range(8):
            async with backend.writer.begin() as connection:
                await connection.execute(INSERT, {"key": f"k{number}", "value": "x" * 1_000_000})
        assert log.stat().st_size > 8_000_000
    for number in range(3):
        async with backend.writer.begin() as connection:
            await connection.execute(INSERT, {"key": f"s{number}", "value": "x"})
    assert log.stat().st_size <= 500_000
    await backend.close(keeps_log=False)


async def test_what_a_failed_transaction_wrote_is_taken_back_and_the_next_one_counts(backend: Backend) -> None:
    async def write_and_fail() -> None:
        async with backend.writer.begin() as connection:
            await connection.execute(INSERT, {"key": "a", "value": "1"})
            await connection.execute(INSERT, {"key": "a", "value": "2"})

    with pytest.raises(Exception, match="UNIQUE"):
        await write_and_fail()
    async with backend.writer.begin() as connection:
        await connection.execute(INSERT, {"key": "a", "value": "3"})
    async with backend.reader.connect() as connection:
        assert (await connection.execute(READ)).scalar_one() == "3"


async def test_a_transaction_without_a_statement_leaves_the_connection_as_it_was(backend: Backend) -> None:
    async with backend.writer.begin():
        pass
    async with backend.reader.connect():
        pass
    async with backend.writer.begin() as connection:
        await connection.execute(INSERT, {"key": "a", "value": "1"})
    async with backend.reader.connect() as connection:
        assert (await connection.execute(READ)).scalar_one() == "1"


async def test_a_write_begins_as_a_writer_and_is_told_that_another_one_has_the_file(
    backend: Backend, file: Path
) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Exception, match="locked") as refused:
            async with backend.writer.begin() as connection:
                await connection.execute(READ)  # without BEGIN IMMEDIATE a read would not wait
        assert isinstance(backend.translate(refused.value), StoreBusy)
    async with backend.writer.begin() as connection:
        await connection.execute(INSERT, {"key": "a", "value": "1"})


async def test_a_whole_transaction_is_one_call(backend: Backend, calls: list[str]) -> None:
    async def body(inside: AsyncConnection) -> str:
        await inside.execute(INSERT, {"key": "a", "value": "1"})
        return str(await inside.scalar(READ))

    async with backend.writer.begin() as connection:
        await connection.execute(READ)  # the pool's connection is made by now
    async with backend.writer.begin() as connection:
        calls.clear()
        assert await backend.run_whole(connection, body) == "1"
    assert calls == []  # and no other, for the commit
    async with backend.reader.connect() as connection:
        assert (await connection.execute(READ)).scalar_one() == "1"


async def test_a_whole_transaction_that_fails_leaves_nothing(backend: Backend) -> None:
    async def body(inside: AsyncConnection) -> None:
        await inside.execute(INSERT, {"key": "a", "value": "1"})
        await inside.scalar(READ)
        raise LookupError("no")

    with pytest.raises(LookupError):
        async with backend.writer.begin() as connection:
            await backend.run_whole(connection, body)
    await can_write_again(backend, expected=None)


async def test_a_whole_transaction_whose_commit_fails_leaves_nothing_and_the_next_one_begins(backend: Backend) -> None:
    async def insert(inside: AsyncConnection, times: int) -> None:
        for _ in range(times):
            await inside.execute(INSERT, {"key": "b", "value": "1"})

    await can_write_again(backend, expected=None)
    with pytest.raises(IntegrityError):
        async with backend.writer.begin() as connection:
            await backend.run_whole(connection, lambda inside: insert(inside, 2))
    async with backend.writer.begin() as connection:
        await backend.run_whole(connection, lambda inside: insert(inside, 1))
    await can_write_again(backend, expected="again")


async def test_a_whole_transaction_that_waits_for_something_else_is_a_defect_and_leaves_nothing(
    backend: Backend,
) -> None:
    async def body(inside: AsyncConnection) -> None:
        await inside.execute(INSERT, {"key": "a", "value": "1"})
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits for something else"):
        async with backend.writer.begin() as connection:
            await backend.run_whole(connection, body)
    await can_write_again(backend, expected=None)


async def test_who_is_cancelled_in_a_whole_transaction_is_so_at_its_end(backend: Backend) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    async def body(inside: AsyncConnection) -> None:
        await inside.execute(INSERT, {"key": "a", "value": "1"})
        await inside.scalar(READ)
        under_way.set()
        go_on.wait(5)

    async def transaction() -> None:
        async with backend.writer.begin() as connection:
            await backend.run_whole(connection, body)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(transaction())
        await asyncio.to_thread(under_way.wait, 5)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        go_on.set()
    assert task.cancelled()
    await can_write_again(backend, expected="1")


async def test_a_single_statement_is_read_without_a_transaction_and_holds_no_snapshot(
    backend: Backend, calls: list[str]
) -> None:
    async with backend.reader_of_one.connect() as connection:
        assert (await connection.execute(READ)).all() == []
        await can_write_again(backend, expected=None)
        calls.clear()
        assert (await connection.execute(READ)).scalar_one() == "again"
    assert calls == ["run"]


async def can_write_again(backend: Backend, *, expected: str | None) -> None:
    """What is there is as expected, and the writer is free."""
    async with backend.writer.begin() as connection:
        assert (await connection.execute(READ)).scalar() == expected
        await connection.execute(text("DELETE FROM meta WHERE key = 'a'"))
        await connection.execute(INSERT, {"key": "a", "value": "again"})
