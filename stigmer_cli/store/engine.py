"""The two databases behind one seam: how each is opened, locked and checked, and what its errors mean.

Everything else in the store is written once, in SQL that both take.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, FromClause, Table, create_engine, event, make_url
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool
from sqlalchemy.sql.dml import ReturningInsert

from stigmer_cli.clock import Clock
from stigmer_cli.errors import ConfigError, MachineError, StigmerError, reason_of
from stigmer_cli.paths import absolute_path
from stigmer_cli.store import errors, migrate, statements
from stigmer_cli.store.async_engine import AsyncConnection, AsyncEngine, create_async_engine
from stigmer_cli.store.execution_counts import merge_counts
from stigmer_cli.store.postgres_pool import watch_pool
from stigmer_cli.store.sqlite_driver import SingleCallConnection, connect
from stigmer_cli.store.sqlite_file import StoreFile, publish, uri
from stigmer_cli.store.sqlite_transaction import Body, run_in_thread

READERS_MAX = 4
POSTGRES_CONNECTIONS_MAX = 10
POSTGRES_WRITERS_MAX = 8
"""Of those connections: the others are for readers."""

WAL_BYTES_MAX = 64 * 1024 * 1024
"""How large SQLite's log stays on disk once it is empty again. Who reads the file for long (a backup, a shell) keeps it
from being emptied, and it grows until then."""

OF_ONE = "stigmer_of_one"
"""An option of a connection: what it executes is one statement, and no transaction is begun for it."""

CONNECT_TIMEOUT_S = 5
MIGRATION_LOCK = 7234_0001
"""The key of the advisory lock that a migration of a PostgreSQL store holds."""


R = TypeVar("R")

KEEPERS: list[sqlite3.Connection] = []
"""Connections that stay open until the process ends: the file of each is damaged, and is left as it is."""


class Backend(Protocol):
    """One database: engines for writing and reading, and what only this kind of database can say.

    `writers_max` transactions write at a time, and the next waits for up to `busy_timeout_s`.
    """

    kind: str
    writers_max: int
    busy_timeout_s: float
    writer: AsyncEngine
    reader: AsyncEngine
    reader_of_one: AsyncEngine
    """For a transaction that is one statement."""

    async def run_whole(self, connection: AsyncConnection, body: Body[R]) -> R:
        """What `body` returns, given `connection` or one that stands for it; it waits for its statements only.

        It may leave the transaction committed, for the caller to commit once more, which does nothing.
        """

    def insert_or_skip(self, table: Table, column: str | None) -> ReturningInsert[Any]:
        """An insert that does nothing when the unique `column` (None: any) is taken; gives back a new row."""

    def verify(self) -> None:
        """Raise MachineError if what was opened is no longer there."""

    def verify_commit(self) -> None:
        """Raise MachineError if a commit now would not be there after a restart."""

    def translate(self, error: Exception) -> StigmerError | None:
        """`error` as ours; None for a defect of ours."""

    async def close(self, *, keeps_log: bool) -> None:
        """Close every connection and release every lock; with `keeps_log`, without another write to the file."""


async def open_backend(url: str, *, clock: Clock, owner: str, busy_timeout_s: float, scripts: Path) -> Backend:
    """Open, lock and migrate the database at `url`; raises ConfigError, MachineError or Unavailable."""
    if url.startswith("sqlite:///"):
        file = StoreFile(_sqlite_path(url))
        return await asyncio.to_thread(_open_sqlite, file, clock, owner, busy_timeout_s, scripts)
    if url.startswith("postgresql://"):
        return await asyncio.to_thread(_open_postgresql, _postgresql_url(url), busy_timeout_s, scripts)
    raise ConfigError("the database URL must start with sqlite:/// or postgresql://")


class _HintingCompiler(SQLiteCompiler):
    """SQLAlchemy has no hints for SQLite; this puts `INDEXED BY` where other dialects put theirs."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:  # noqa: ARG002 (its signature)
        """The hint, unchanged."""
        return text


class SqliteBackend:
    """A file: one connection writes, several read, and a lock keeps other servers away."""

    kind = "sqlite"
    writers_max = 1

    def __init__(self, file: StoreFile, busy_timeout_s: float) -> None:
        self._file = file
        self.busy_timeout_s = busy_timeout_s
        self._keeper = file.keep_log()
        self.writer = self._engine(connections=1, begin="BEGIN IMMEDIATE", is_reader=False)
        self.reader = self._engine(connections=READERS_MAX, begin="BEGIN", is_reader=True)
        self.reader_of_one = self.reader.execution_options(**{OF_ONE: True})

    async def run_whole(self, connection: AsyncConnection, body: Body[R]) -> R:
        """Run `body` and commit, in one call of the connection's thread."""
        return await run_in_thread(connection, body, before_commit=self.verify_commit)

    def insert_or_skip(self, table: Table, column: str | None) -> ReturningInsert[Any]:
        """An insert that does nothing when the unique `column` (None: any) is taken; gives back a new row."""
        return statements.insert_or_skip(sqlite.insert, table, column)

    def verify(self) -> None:
        """Raise MachineError if the file was deleted or replaced."""
        self._file.verify()

    def verify_commit(self) -> None:
        """Raise MachineError if the file or its log was deleted or replaced."""
        self._file.verify()
        self._file.verify_journal()

    def translate(self, error: Exception) -> StigmerError | None:
        """`error` as ours; None for a defect of ours."""
        return errors.from_sqlite(error, self._file, self.busy_timeout_s)

    async def close(self, *, keeps_log: bool) -> None:
        """Close every connection, which writes the log into the file unless `keeps_log`, then release the lock."""
        if keeps_log:
            self._file.open_log(self._keeper)
            KEEPERS.append(self._keeper)
        else:
            self._keeper.close()
        try:
            await self.reader.dispose()
            await self.writer.dispose()
        finally:
            self._file.release()

    def _engine(self, *, connections: int, begin: str, is_reader: bool) -> AsyncEngine:
        engine = create_async_engine(
            # mode=rw: a file that was deleted under a running server is never silently created again.
            _sqlite_url("aiosqlite", self._file.path, "rw"),
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self.busy_timeout_s,
        )
        engine.dialect.statement_compiler = _HintingCompiler
        event.listen(engine.sync_engine, "do_connect", connect)
        _prepare_sqlite(engine.sync_engine, begin=begin, busy_timeout_s=self.busy_timeout_s, is_reader=is_reader)
        return engine


class PostgresBackend:
    """A server: any number of Stigmer servers share it, and its own row locks keep them apart."""

    kind = "postgresql"
    writers_max = POSTGRES_WRITERS_MAX

    def __init__(self, url: URL, busy_timeout_s: float) -> None:
        self._server = _server(url)
        self.busy_timeout_s = busy_timeout_s
        self.writer = create_async_engine(
            url,
            pool_size=POSTGRES_CONNECTIONS_MAX,
            max_overflow=0,
            pool_timeout=busy_timeout_s,
            pool_pre_ping=True,
            connect_args=_postgres_arguments(url, busy_timeout_s),
        )
        self.reader = self.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.reader_of_one = self.reader
        watch_pool(self.writer.sync_engine)

    async def run_whole(self, connection: AsyncConnection, body: Body[R]) -> R:
        """Run `body`; the caller commits."""
        return await body(connection)

    def insert_or_skip(self, table: Table, column: str | None) -> ReturningInsert[Any]:
        """An insert that does nothing when the unique `column` (None: any) is taken; gives back a new row."""
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - a store in SQLite starts sooner without

        return statements.insert_or_skip(postgresql.insert, table, column)

    def verify(self) -> None:
        """Nothing: the server watches its own files."""

    def verify_commit(self) -> None:
        """Nothing: the server answers for its own commits."""

    def translate(self, error: Exception) -> StigmerError | None:
        """`error` as ours; None for a defect of ours."""
        return errors.from_postgresql(error, self._server)

    async def close(self, *, keeps_log: bool) -> None:
        """Close every connection; the server answers for its files, whatever `keeps_log` says."""
        del keeps_log
        await self.writer.dispose()


def _open_sqlite(file: StoreFile, clock: Clock, owner: str, busy_timeout_s: float, scripts: Path) -> SqliteBackend:
    file.acquire(owner)
    try:
        if file.inspect():
            _upgrade_sqlite(file, clock, busy_timeout_s, scripts)
        else:
            _create_sqlite(file, busy_timeout_s, scripts)
        file.remember()
        return SqliteBackend(file, busy_timeout_s)
    except Exception as error:
        file.release()
        known = errors.from_sqlite(error, file, busy_timeout_s)
        if known is None:
            raise
        raise known from error


def _create_sqlite(file: StoreFile, busy_timeout_s: float, scripts: Path) -> None:
    # Made under another name and renamed when whole: a short or empty store file is then always a damaged one.
    try:
        file.fresh.unlink(missing_ok=True)
        file.fresh.touch(mode=0o600)
        _with_sqlite(file.fresh, busy_timeout_s, lambda connection: migrate.create(connection, scripts))
        publish(file.fresh, file.path)
    except OSError as error:
        raise MachineError(f"cannot create {file.path}: {reason_of(error)}; {file.space()}") from error


def _upgrade_sqlite(file: StoreFile, clock: Clock, busy_timeout_s: float, scripts: Path) -> None:
    def upgrade(connection: Connection) -> None:
        revision = migrate.revision(connection, scripts, str(file.path))
        if revision == migrate.head(scripts):
            return
        file.back_up(revision, clock.now())
        migrate.upgrade(connection, scripts)

    # Only reads: to close a connection that may write would write the log into a file that may be damaged.
    if _is_old(file, busy_timeout_s, scripts):
        _with_sqlite(file.path, busy_timeout_s, upgrade)


def _is_old(file: StoreFile, busy_timeout_s: float, scripts: Path) -> bool:
    found: list[str] = []

    def look(connection: Connection) -> None:
        found.append(migrate.revision(connection, scripts, str(file.path)))

    _with_sqlite(file.path, busy_timeout_s, look, is_reader=True)
    return found != [migrate.head(scripts)]


def _with_sqlite(
    path: Path, busy_timeout_s: float, act: Callable[[Connection], None], *, is_reader: bool = False
) -> None:
    engine = create_engine(_sqlite_url("pysqlite", path, "ro" if is_reader else "rw"), poolclass=NullPool)
    begin = "BEGIN" if is_reader else "BEGIN IMMEDIATE"
    _prepare_sqlite(engine, begin=begin, busy_timeout_s=busy_timeout_s, is_reader=is_reader, wal=False)
    _in_transaction(engine, act)


def _in_transaction(engine: Engine, act: Callable[[Connection], None]) -> None:
    try:
        with engine.begin() as connection:
            act(connection)
    finally:
        engine.dispose()


def _prepare_sqlite(engine: Engine, *, begin: str, busy_timeout_s: float, is_reader: bool, wal: bool = True) -> None:
    """Give every connection of `engine` its pragmas, and begin transactions with `begin`."""
    if sqlite3.sqlite_version_info < (3, 35):
        raise MachineError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 is the oldest that works")
    if not _has_full_text_search():
        raise MachineError(
            "the SQLite of this Python has no full-text search (FTS5)", hint="take a Python from python.org or uv"
        )

    def connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # Off: the driver must not begin transactions by itself, or some statements would run outside of ours.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")
        if wal:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA journal_size_limit={WAL_BYTES_MAX}")
        # FULL loses no acknowledged row in a power cut (0 of 21,204; NORMAL: 4,033 of 4,033).
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA fullfsync=ON")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA query_only={'ON' if is_reader else 'OFF'}")
        cursor.close()

    def begun(connection: Connection) -> None:
        found = connection.connection.dbapi_connection
        if connection.get_execution_options().get(OF_ONE):
            return  # SQLite makes a transaction of each statement that stands outside of one
        if isinstance(found, SingleCallConnection):
            found.begin(begin, is_reader=is_reader)
        else:
            connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


@cache
def _has_full_text_search() -> bool:
    with closing(sqlite3.connect(":memory:")) as connection:
        found = connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
        return found.fetchone() is not None


def _open_postgresql(url: URL, busy_timeout_s: float, scripts: Path) -> PostgresBackend:
    server = _server(url)

    def upgrade(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        if migrate.revision(connection, scripts, f"the database at {server}") != migrate.head(scripts):
            # A statement over millions of rows takes as long as it takes; cut off, each start would begin it again.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            migrate.upgrade(connection, scripts)
        merge_counts(connection)

    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=_postgres_arguments(url, busy_timeout_s))
        _in_transaction(engine, upgrade)
        return PostgresBackend(url, busy_timeout_s)
    except ImportError as error:
        raise ConfigError("PostgreSQL needs psycopg", hint="pip install 'stigmer-cli[postgres]'") from error
    except Exception as error:
        known = errors.from_postgresql(error, server, is_opening=True)
        if known is None:
            raise
        raise known from error


def _postgres_arguments(url: URL, busy_timeout_s: float) -> dict[str, str | int]:
    """Arguments for the driver; they replace what the URL says under the same name, so its options are kept here."""
    busy_ms = int(busy_timeout_s * 1000)
    given = f"{url.query['options']} " if url.query.get("options") else ""
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "stigmer",
        # The kernel notices a peer that vanished, so that no query waits for it.
        "tcp_user_timeout": CONNECT_TIMEOUT_S * 1000,
        "keepalives_idle": CONNECT_TIMEOUT_S,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "options": f"{given}-c lock_timeout={busy_ms} -c statement_timeout={busy_ms * 4}"
        f" -c idle_in_transaction_session_timeout={busy_ms * 4}",
    }


def _sqlite_url(driver: str, path: Path, mode: str) -> URL:
    """Made of its parts: of a URL, SQLAlchemy makes the `%3F` the `?` that for SQLite is the end of the path."""
    return URL.create(f"sqlite+{driver}", database=uri(path, mode), query={"uri": "true"})


def _sqlite_path(url: str) -> Path:
    name = url.removeprefix("sqlite:///")
    if not name or name == ":memory:":
        raise ConfigError("the database URL names no file: sqlite:///PATH", hint="stigmer config get database_url")
    # Resolved, so that two names of one file are one lock.
    return absolute_path(name).resolve()


def _postgresql_url(url: str) -> URL:
    try:
        return make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise ConfigError("the database URL is no valid postgresql://USER@HOST:PORT/NAME") from None


def _server(url: URL) -> str:
    host = url.host or url.query.get("host") or url.query.get("hostaddr") or "localhost"
    return f"{host}:{url.port or url.query.get('port', 5432)}/{url.database or url.query.get('dbname', '')}"
