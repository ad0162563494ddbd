"""Deletes executions that have ended, with everything about them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Integer, bindparam, delete, or_, select

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.children import IS_UNAWAITED
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.event_tables import listeners
from stigmer_cli.store.labels import forget_labels
from stigmer_cli.store.session_order import IS_UNNEEDED
from stigmer_cli.store.sessions import forget_empty_sessions
from stigmer_cli.store.tables import decisions, events, executions, step_contents, steps, tasks

ENDED = tuple(phase for phase in Phase if phase.is_terminal)

_ROW = executions.c
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_HAS_ENDED: ColumnElement[bool] = or_(*(_ROW.phase == phase for phase in ENDED))
_ENDED_ONES = (
    select(_ROW.id, _ROW.created_at, _ROW.labels, _ROW.session)
    .where(_ROW.id.in_(_IDS), _HAS_ENDED, IS_UNNEEDED, IS_UNAWAITED)
    .order_by(_ROW.id)
    .with_for_update()
)
_FORGET_PARTS = tuple(
    delete(table).where(table.c.execution_id.in_(_IDS))
    for table in (events, step_contents, steps, tasks, decisions, listeners)
)
_FORGET = delete(executions).where(_ROW.id.in_(_IDS))
_OLD = {
    phase: select(_ROW.id)
    .where(_ROW.phase == phase, _ROW.created_at < bindparam("before", type_=Moment), IS_UNNEEDED, IS_UNAWAITED)
    .order_by(_ROW.created_at, _ROW.id)
    .limit(bindparam("limit", type_=Integer))
    for phase in ENDED
}
"""One query for each phase: `phase IN` would sort all rows of these phases."""


class PruneTable:
    """Deletes executions. What has not ended is never deleted, nor what an open execution of its session sees."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def delete(self, ids: Sequence[ExecutionId]) -> set[ExecutionId]:
        """Delete those of `ids` that may be, with timelines, journals and labels, in one commit; returns which.

        A session that nothing is left of is deleted, too.
        """
        async with self._database.writing() as writing:
            found = (await writing.connection.execute(_ENDED_ONES, {"ids": list(ids)})).all()
            if not found:
                return set()
            gone = [row.id for row in found]
            for row in found:
                if row.labels:
                    await forget_labels(writing, row.id, row.created_at, row.labels)
            for forget in _FORGET_PARTS:
                await writing.connection.execute(forget, {"ids": gone})
            await writing.connection.execute(_FORGET, {"ids": gone})
            await forget_empty_sessions(writing, sorted({row.session for row in found if row.session is not None}))
            return set(gone)

    async def find_old(self, before: datetime, *, limit: int) -> Sequence[ExecutionId]:
        """Up to `limit` executions that have ended and were accepted before `before`, in no order."""
        found: list[ExecutionId] = []
        async with self._database.reading() as connection:
            for query in _OLD.values():
                rows = await connection.scalars(query, {"before": before, "limit": limit - len(found)})
                found += rows
        return found
