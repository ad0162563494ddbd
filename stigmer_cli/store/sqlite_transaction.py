"""A transaction of SQLite in one call of its connection's thread, though it is written as one that waits."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Executable

from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.sqlite_driver import SingleCallConnection

R = TypeVar("R")
Body = Callable[[AsyncConnection], Coroutine[Any, Any, R]]


async def run_in_thread(connection: AsyncConnection, body: Body[R], *, before_commit: Callable[[], None]) -> R:
    """What `body` returns, after a commit, or what it or `before_commit` raises, without one."""
    driver = (await connection.get_raw_connection()).dbapi_connection
    inside = connection.sync_connection
    assert isinstance(driver, SingleCallConnection)  # noqa: S101 - the engine's listener made it
    assert inside is not None  # noqa: S101 - it is connected

    def work() -> R:
        result = _run_to_its_end(body(cast("AsyncConnection", _Inside(inside))))
        before_commit()
        try:
            inside.commit()
        except BaseException:  # SQLAlchemy takes the transaction for ended, and the pool would keep it open
            driver.roll_back_inside()
            raise
        return result

    return await driver.run_inside(work)


class _Inside:
    """A connection in its own thread: what `AsyncConnection` does for a transaction, without waiting for anything."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:  # noqa: ANN401
        """What the statement gives back, all of it fetched."""
        return self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None) -> Any:  # noqa: ANN401 - as SQLAlchemy has it
        """The first column of the first row; None where there is no row."""
        return self._connection.execute(statement, parameters).scalar()


def _run_to_its_end(work: Coroutine[Any, Any, R]) -> R:
    """What `work` returns, which waits for nothing but an `_Inside`."""
    try:
        work.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    work.close()
    raise RuntimeError("a transaction waits for something else than its statements")
