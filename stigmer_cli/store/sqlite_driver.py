"""SQLite for the asynchronous engines, with one call of the connection's thread for each statement, or less.

SQLAlchemy's own adapter makes four (make a cursor, execute, fetch, close), and three more for BEGIN. Each call wakes
two threads that share one interpreter lock, and costs more than what SQLite does in it: to read an agent by its name
took 8 calls and 1.3 ms of CPU. An INSERT that gives back nothing is executed with the next statement, or with COMMIT,
which then raises what it raises. With `run_inside` a whole transaction is one call.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.engine import Dialect
from sqlalchemy.util.concurrency import await_


class _Executed(NamedTuple):
    """What a cursor knows once its statement was executed, and all that it gives back."""

    description: Any
    rowcount: int
    lastrowid: int | None
    rows: Sequence[Any]


Act = Callable[[sqlite3.Connection], sqlite3.Cursor]
_NOTHING = _Executed(None, -1, None, ())

R = TypeVar("R")


class SingleCallCursor(AsyncAdapt_aiosqlite_cursor):
    """A cursor of `SingleCallConnection`; it holds nothing open, and its rows have all been fetched."""

    __slots__ = ("_executed", "_owner")

    def __init__(self, owner: "SingleCallConnection") -> None:  # the base makes a cursor in the thread
        self._owner = owner
        self._executed = _NOTHING
        self._rows = deque()

    @property
    def description(self) -> Any:  # noqa: ANN401 - as the DB-API has it
        """The columns of the statement; None where it gives back no rows."""
        return self._executed.description

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed; -1 where that has no meaning."""
        return self._executed.rowcount

    @property
    def lastrowid(self) -> Any:  # noqa: ANN401 - as the DB-API has it
        """The rowid of the row that was inserted last, if any was."""
        return self._executed.lastrowid

    def execute(self, operation: Any, parameters: Any = None) -> None:  # noqa: ANN401 - as the base has it
        """Execute a statement, and fetch what it gives back."""
        self._do(operation, lambda one: one.execute(operation, parameters or ()))

    def executemany(self, operation: Any, seq_of_parameters: Any) -> None:  # noqa: ANN401 - as the base has it
        """Execute a statement once for each set of parameters."""
        self._do(operation, lambda one: one.executemany(operation, seq_of_parameters))

    def close(self) -> None:
        """Forget the rows."""
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """Nothing is open."""

    def _do(self, operation: str, act: Act) -> None:
        if operation.startswith("INSERT") and "RETURNING" not in operation:
            self._owner.defer(act)
            return
        self._executed = self._owner.call(act)
        self._rows = deque(self._executed.rows)


class SingleCallConnection(AsyncAdapt_aiosqlite_connection):
    """A connection whose transactions begin with their first statement, in the same call."""

    __slots__ = ("_begin", "_deferred", "_is_inside", "_is_open", "_is_reader")

    _cursor_cls = SingleCallCursor  # type: ignore[assignment] # it is made with another argument

    def __init__(self, dbapi: Any, connection: Any) -> None:  # noqa: ANN401 - as the base has it
        super().__init__(dbapi, connection)
        self._begin: str | None = None
        self._deferred: list[Act] = []
        self._is_open = False
        self._is_reader = False
        self._is_inside = False

    def begin(self, statement: str, *, is_reader: bool) -> None:
        """Execute `statement` before the next one; `is_reader`: nobody has to wait for the end of the transaction."""
        self._begin, self._is_reader = statement, is_reader

    def defer(self, act: Act) -> None:
        """Have `act` carried out with the next call."""
        self._deferred.append(act)
        if self._is_inside:
            return
        await_(_wait_for_nothing())  # SQLAlchemy takes a driver that never waits for one that blocks

    def call(self, act: Act) -> _Executed:
        """What `act` comes to in the connection's thread, after what was deferred; raises what SQLite raises."""
        begin, self._begin = self._begin, None
        self._is_open = self._is_open or begin is not None
        deferred, self._deferred = self._deferred, []

        def run() -> _Executed:
            one: sqlite3.Connection = self._connection._conn  # noqa: SLF001 - only its thread may use it
            if begin is not None:
                one.execute(begin)
            for earlier in deferred:
                earlier(one)
            cursor = act(one)
            rows = cursor.fetchall() if cursor.description else ()
            return _Executed(cursor.description, cursor.rowcount, cursor.lastrowid, rows)

        try:
            if self._is_inside:
                return run()
            executed: _Executed = await_(self._connection._execute(run))  # noqa: SLF001 - aiosqlite's way to its thread
        except Exception as error:  # noqa: BLE001 - the base knows which
            self._handle_exception(error)
        return executed

    async def run_inside(self, work: Callable[[], R]) -> R:
        """What `work` returns, all of it in the connection's thread, where statements are executed as they come.

        A caller that is cancelled is so when the work has ended: nobody else may use the connection before.
        """

        def run() -> R:
            self._is_inside = True
            try:
                return work()
            finally:
                self._is_inside = False

        ended: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._connection._tx.put_nowait((ended, run))  # noqa: SLF001 - aiosqlite's way to its thread
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            await asyncio.wait([ended])
            ended.exception()  # nobody else hears of it
            raise

    def commit(self) -> None:
        """Commit, unless no statement has begun the transaction."""
        if self._is_open or self._deferred:
            self.call(lambda one: one.execute("COMMIT"))
        self._begin, self._is_open = None, False

    def roll_back_inside(self) -> None:
        """Take back, within `run_inside`, what a failed COMMIT left open, whichever statement of it has failed."""
        self._begin, self._deferred, self._is_open = None, [], False
        self._connection._conn.rollback()  # noqa: SLF001 - in its thread

    def rollback(self) -> None:
        """Take the transaction back, unless no statement has begun it, or it is over: pools ask for it again."""
        self._begin, self._deferred = None, []
        if not self._is_open:
            return
        self._is_open = False
        if self._is_inside:
            self._connection._conn.rollback()  # noqa: SLF001 - in its thread
        elif self._is_reader and self._connection._connection:  # noqa: SLF001 - as the base asks
            # Its thread does one thing after another: whatever comes next finds the transaction at its end.
            self._connection._tx.put_nowait((None, self._connection._conn.rollback))  # noqa: SLF001
        else:
            super().rollback()


async def _wait_for_nothing() -> None:
    pass


def connect(dialect: Dialect, _record: object, arguments: Sequence[Any], options: dict[str, Any]) -> Any:  # noqa: ANN401
    """A `SingleCallConnection`; for the event `do_connect` of an engine."""
    plain = dialect.connect(*arguments, **options)
    return SingleCallConnection(plain.dbapi, plain.driver_connection)
