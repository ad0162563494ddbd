"""Sessions: listed, read, deleted; the executions in them are rows like any other."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Select, and_, bindparam, delete, exists, func, select, tuple_

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.session import Exchange, Session
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.conversations import decide_conversation, read_exchanges
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.session_order import BEHIND_ANOTHER
from stigmer_cli.store.tables import IN_SESSION, OPEN_IN_SESSION, executions, sessions

BATCH = 200
NEAR_MAX = 500
"""How many executions of a session are deleted in one commit."""

_ROW = executions.c
_COUNTED = (
    select(_ROW.session, func.count().label("number"), func.max(_ROW.session_seq).label("last"))
    .where(IN_SESSION, _ROW.session.in_(bindparam("names", expanding=True)))
    .group_by(_ROW.session)
    .subquery()
)
_PARTS = (
    select(_ROW.session, _COUNTED.c.number, _ROW.id, _ROW.phase, _ROW.message)
    .select_from(executions)
    .join(_COUNTED, and_(_COUNTED.c.session == _ROW.session, _COUNTED.c.last == _ROW.session_seq))
)
_PAGE = select(sessions).order_by(sessions.c.updated_at.desc(), sessions.c.name.desc())
_OPEN_ONE = select(_ROW.id).where(OPEN_IN_SESSION, _ROW.session == bindparam("name")).limit(1)
_SOME = select(_ROW.id).where(IN_SESSION, _ROW.session == bindparam("name")).limit(bindparam("limit", type_=Integer))
_LOCK = (
    select(sessions.c.name)
    .where(sessions.c.name.in_(bindparam("names", expanding=True)))
    .order_by(sessions.c.name)
    .with_for_update()
)
"""Who joins one of them meanwhile is waited for, so that the next statement sees what joined."""

_FORGET_EMPTY = delete(sessions).where(
    sessions.c.name.in_(bindparam("names", expanding=True)),
    ~exists(select(_ROW.id).where(_ROW.session == sessions.c.name)),
)

Cursor = tuple[datetime, str]
"""The session that a page ends with: `updated_at`, and its name."""


class SessionTable:
    """Sessions by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def list(self, *, limit: int, after: Cursor | None = None) -> Sequence[Session]:
        """Up to `limit` sessions behind `after`, the one that was used last first."""
        query = _PAGE.limit(limit)
        if after is not None:
            key = tuple_(sessions.c.updated_at, sessions.c.name)
            query = query.where(key < tuple_(bindparam(None, after[0], Moment), bindparam(None, after[1])))
        async with self._database.reading() as connection:
            return await _read(connection, query)

    @whole
    async def get(self, name: str) -> Session:
        """One session; raises NotFound."""
        async with self._database.reading() as connection:
            found = await _read(connection, select(sessions).where(sessions.c.name == name))
            if not found:
                raise await explain_unknown_session(connection, name)
        return found[0]

    @whole
    async def read_some(self, name: str) -> Sequence[ExecutionId]:
        """Up to `BATCH` executions of the session, in no order. Raises Conflict while one of them has not ended."""
        async with self._database.reading() as connection:
            left: str | None = await connection.scalar(_OPEN_ONE, {"name": name})
            if left is not None:
                raise Conflict(
                    f"{left} of session {name} has not ended", hint=f"stigmer executions cancel {left}, then try again"
                )
            return [ExecutionId(id_) for id_ in await connection.scalars(_SOME, {"name": name, "limit": BATCH})]

    @whole
    async def find_behind(self, ids: Sequence[ExecutionId], *, since: datetime) -> set[ExecutionId]:
        """Those of `ids` that wait for their turn, or have had it only since `since`."""
        async with self._database.reading() as connection:
            return {ExecutionId(id_) for id_ in await connection.scalars(BEHIND_ANOTHER, {"ids": ids, "since": since})}

    @whole
    async def begin_conversation(self, execution_id: ExecutionId) -> Sequence[Exchange]:
        """What the execution, which begins or goes on, sees of what was said before; the same each time."""
        async with self._database.writing() as writing:
            ids = await decide_conversation(writing, execution_id)
            return await read_exchanges(writing.connection, ids)


async def require_session(connection: AsyncConnection, name: str) -> None:
    """Raise NotFound where there is no session of this name."""
    if await connection.scalar(select(sessions.c.name).where(sessions.c.name == name)) is None:
        raise await explain_unknown_session(connection, name)


async def explain_unknown_session(connection: AsyncConnection, name: str) -> NotFound:
    """The error for a session that does not exist, with the nearest name among the `NEAR_MAX` that were used last."""
    names = await connection.scalars(select(sessions.c.name).order_by(sessions.c.updated_at.desc()).limit(NEAR_MAX))
    return NotFound(f"there is no session {name}{suggest_nearest(name, names)}", hint="stigmer sessions list")


async def forget_empty_sessions(writing: Writing, names: Sequence[str]) -> None:
    """Delete those of the sessions `names` that no execution is left of."""
    if names:
        await writing.connection.execute(_LOCK, {"names": list(names)})
        await writing.connection.execute(_FORGET_EMPTY, {"names": list(names)})


async def _read(connection: AsyncConnection, query: Select[Any]) -> Sequence[Session]:
    rows = (await connection.execute(query)).all()
    found = await connection.execute(_PARTS, {"names": [row.name for row in rows]}) if rows else ()
    parts = {part.session: part for part in found}
    return [
        Session(
            name=row.name,
            agent_name=row.agent_name,
            created_at=row.created_at,
            updated_at=row.updated_at,
            executions=part.number,
            last=ExecutionId(part.id),
            last_phase=Phase(part.phase),
            last_message=part.message,
        )
        for row in rows
        if (part := parts.get(row.name)) is not None
    ]
