"""Executions by a part of their id."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select

from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.execution_reference import IdPart
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.mapping import execution_of
from stigmer_cli.store.statements import BRIEF, PRIMARY_KEY, by_index, select_by_ids
from stigmer_cli.store.tables import executions

ENDS_AMONG = 100_000
"""Only so many of the newest executions are looked at for the end of an id: at most about 15 ms.

No index serves the end of an id, and reading all ids takes 80 to 100 ms at 1,000,000 (SQLite 3.40.1). An index on their
last characters would answer at once, but each new execution would pay for it with one more page written.
"""

AFTER_ALL = "{"
"""Sorts behind every character of an id."""

_ROW = executions.c


async def find_by_part(connection: AsyncConnection, asked: IdPart, *, limit: int) -> Sequence[Execution]:
    """Up to `limit` executions whose id begins with `asked`, or ends with it, newest first."""
    ids = set(await _find_beginnings(connection, asked, limit))
    if asked.end is not None:
        ids |= set(await _find_ends(connection, asked.end, limit))
    rows = (await connection.execute(select_by_ids(select(*BRIEF)), {"ids": list(ids)})).mappings()
    newest_first = sorted(rows, key=lambda row: (row["created_at"], row["id"]), reverse=True)
    return [execution_of(row) for row in newest_first[:limit]]


async def _find_beginnings(connection: AsyncConnection, asked: IdPart, limit: int) -> Sequence[str]:
    ranges: list[ColumnElement[bool]] = [
        (_ROW.id >= beginning) & (_ROW.id < beginning + AFTER_ALL) for beginning in asked.beginnings
    ]
    query = by_index(select(_ROW.id), PRIMARY_KEY).where(or_(*ranges)).order_by(_ROW.id.desc()).limit(limit)
    return (await connection.scalars(query)).all()


async def _find_ends(connection: AsyncConnection, end: str, limit: int) -> Sequence[str]:
    newest = select(_ROW.id).order_by(_ROW.created_at.desc(), _ROW.id.desc()).limit(ENDS_AMONG).subquery()
    # Only digits and letters are left in `end`: no character of a pattern.
    return (await connection.scalars(select(newest.c.id).where(newest.c.id.like(f"%{end}")).limit(limit))).all()
