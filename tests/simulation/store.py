"""The real store without threads: its own SQL on a SQLite in memory, so that it also runs in virtual time.

Nothing of the store is rewritten: only the way to the database is, which answers before any other task runs.
"""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Dialect, Executable, NestedTransaction, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.dml import ReturningInsert

from stigmer_cli.clock import Clock
from stigmer_cli.errors import StigmerError
from stigmer_cli.store import errors, migrate, statements
from stigmer_cli.store.database import Database
from stigmer_cli.store.engine import _HintingCompiler
from stigmer_cli.store.sqlite_file import StoreFile
from stigmer_cli.store.sqlite_transaction import Body
from stigmer_cli.store.store import STORE_ID, Store
from stigmer_cli.store.tables import execution_counts, metadata
from tests.support.ids import STORE

LATENCY_MAX_S = 0.004

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

Step = Callable[[str], None]
"""Told where things stand, each time that dying would matter; may raise."""


def no_step(_where: str) -> None:
    """Do nothing."""


class Memory:
    """A database in memory with the schema that the migrations make; close it. It is migrated once, for many seeds."""

    def __init__(self) -> None:
        self._engine = create_engine(
            "sqlite+pysqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        self._engine.dialect.statement_compiler = _HintingCompiler
        event.listen(self._engine, "connect", _without_transactions)
        self.connection: Connection = self._engine.connect()
        self.connection.begin()  # for the library's books only: `transaction` is where they really begin and end
        self._driver = cast("sqlite3.Connection", self.connection.connection.driver_connection)
        # The counts are kept by triggers, which see the rows go.
        self._emptying = [str(table.delete()) for table in metadata.sorted_tables if table is not execution_counts]
        with self.transaction():
            migrate.upgrade(self.connection, migrate.SCRIPTS)

    def row(self, query: str, *values: str) -> Sequence[Any] | None:
        """The first row that `query` finds, as it is in this moment."""
        found: Sequence[Any] | None = self._driver.execute(query, values).fetchone()
        return found

    def empty(self) -> None:
        """Remove all rows."""
        with self.transaction():
            for statement in self._emptying:
                self._driver.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block, or nothing of it; one at a time."""
        self._driver.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._driver.execute("ROLLBACK")
            raise
        self._driver.execute("COMMIT")

    def close(self) -> None:
        """Forget everything."""
        self.connection.close()
        self._engine.dispose()


def _without_transactions(connection: sqlite3.Connection, _entry: object) -> None:
    connection.isolation_level = None  # the driver begins none by itself


class SameThread:
    """An AsyncConnection whose answers are there at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    async def begin_nested(self) -> "SameThreadSavepoint":
        return SameThreadSavepoint(self._connection.begin_nested())

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Any:
        return self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        return self._connection.scalar(statement, parameters)

    async def scalars(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        return self._connection.scalars(statement, parameters)

    async def exec_driver_sql(self, statement: str) -> Any:
        return self._connection.exec_driver_sql(statement)


class SameThreadSavepoint:
    """An AsyncTransaction whose answers are there at once."""

    def __init__(self, savepoint: NestedTransaction) -> None:
        self._savepoint = savepoint

    async def commit(self) -> None:
        self._savepoint.commit()

    async def rollback(self) -> None:
        self._savepoint.rollback()


class SameThreadEngine:
    """An AsyncEngine on which a transaction takes a moment before it begins, and none while it lasts."""

    def __init__(self, memory: Memory, rng: random.Random | None, on_step: Step) -> None:
        self._memory = memory
        self._connection = SameThread(memory.connection)
        self._rng = rng
        self._on_step = on_step

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SameThread]:
        await self._moment()
        with self._memory.transaction():
            yield self._connection
            self._on_step("before a commit")
        self._on_step("after a commit")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[SameThread]:
        await self._moment()
        yield self._connection  # one view without a transaction: no other task runs meanwhile

    async def _moment(self) -> None:
        await asyncio.sleep(0 if self._rng is None else self._rng.uniform(0, LATENCY_MAX_S))


R = TypeVar("R")


class MemoryBackend:
    """A database in memory; `rng` None: without latency."""

    kind = "sqlite"
    writers_max = 1
    busy_timeout_s = 5.0

    def __init__(self, memory: Memory, rng: random.Random | None, on_step: Step) -> None:
        self.writer = self.reader = self.reader_of_one = cast("AsyncEngine", SameThreadEngine(memory, rng, on_step))

    async def run_whole(self, connection: AsyncConnection, body: Body[R]) -> R:
        return await body(connection)

    def insert_or_skip(self, table: Table, column: str | None) -> ReturningInsert[Any]:
        return statements.insert_or_skip(sqlite.insert, table, column)

    def verify(self) -> None:
        """Nothing: memory stays."""

    def verify_commit(self) -> None:
        """Nothing: memory stays."""

    def translate(self, error: Exception) -> StigmerError | None:
        return errors.from_sqlite(error, cast("StoreFile", self), self.busy_timeout_s)

    async def close(self, *, keeps_log: bool) -> None:
        """Nothing: whoever made the memory closes it."""


async def memory_store(
    memory: Memory, *, clock: Clock, rng: random.Random | None = None, on_step: Step = no_step
) -> Store:
    """The store on `memory`."""
    store = Store(Database(MemoryBackend(memory, rng, on_step), clock), STORE)
    await store.meta.get_or_set(STORE_ID, STORE)
    return store
