"""The timelines of executions: what happened, in order, without gaps."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from sqlalchemy import Integer, RowMapping, bindparam, select

from stigmer_cli.domain.execution import Event
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.errors import missing_execution
from stigmer_cli.store.mapping import event_of
from stigmer_cli.store.messages import CUTS, needs_output, read_output, unfold
from stigmer_cli.store.tables import events, executions

_BEHIND = (
    select(events)
    .where(events.c.execution_id == bindparam("id"), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(bindparam("limit", type_=Integer))
)
_FOLLOWED = (
    select(executions.c.phase, events)
    .outerjoin_from(
        executions,
        events,
        (events.c.execution_id == executions.c.id) & (events.c.seq > bindparam("after", type_=Integer)),
    )
    .where(executions.c.id == bindparam("id"))
    .order_by(events.c.seq)
    .limit(bindparam("limit", type_=Integer))
)
"""One row at least where there is such an execution, without an event where it has none behind `after`."""


class EventTable:
    """Events to read; each is written together with the change it describes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def on_change(self) -> Callable[[ExecutionId], None] | None:
        """What is called after each commit that wrote events, once for each execution; must return at once."""
        return self._database.on_change

    @on_change.setter
    def on_change(self, listener: Callable[[ExecutionId], None] | None) -> None:
        self._database.on_change = listener

    @whole
    async def list(self, execution_id: ExecutionId, *, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Up to `limit` events of an execution numbered above `after`, in order; empty if there are none."""
        async with self._database.reading() as connection:
            found = await connection.execute(_BEHIND, {"id": execution_id, "after": after, "limit": limit})
            rows = found.mappings().all()
            output = await read_output(connection, execution_id, rows)
        return _unfold_all(execution_id, rows, output, after=after, limit=limit)

    @whole
    async def follow(self, execution_id: ExecutionId, *, after: int, limit: int) -> tuple[Phase, Sequence[Event]]:
        """The phase of an execution, and what `list` returns, of one moment; raises NotFound."""
        asked = {"id": execution_id, "after": after, "limit": limit}
        async with self._database.reading_once() as connection:
            followed, output = (await connection.execute(_FOLLOWED, asked)).mappings().all(), None
        if needs_output(followed):  # which is to be of the same moment
            async with self._database.reading() as connection:
                followed = (await connection.execute(_FOLLOWED, asked)).mappings().all()
                output = await read_output(connection, execution_id, followed)
        if not followed:
            raise missing_execution(execution_id)
        rows = [row for row in followed if row["seq"] is not None]
        return Phase(followed[0]["phase"]), _unfold_all(execution_id, rows, output, after=after, limit=limit)


def _unfold_all(
    execution: ExecutionId, rows: Sequence[RowMapping], output: str | None, *, after: int, limit: int
) -> Sequence[Event]:
    unfolded = (event for row in rows for event in _unfold(execution, row, output))
    return list(islice((event for event in unfolded if event.seq > after), limit))


def _unfold(execution: ExecutionId, row: RowMapping, output: str | None) -> Iterator[Event]:
    """The events in `row`: one, or each piece of messages that were folded."""
    if CUTS not in row["data"]:
        yield event_of(row)
        return
    for piece in unfold(row, output):
        yield piece.to_event(execution)
