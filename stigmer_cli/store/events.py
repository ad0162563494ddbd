"""The timelines of executions: what happened, in order, without gaps."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from sqlalchemy import Integer, RowMapping, bindparam, select

from stigmer_cli.domain.execution import Event
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.mapping import event_of
from stigmer_cli.store.messages import CUTS, read_output, unfold
from stigmer_cli.store.tables import events

_BEHIND = (
    select(events)
    .where(events.c.execution_id == bindparam("id"), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(bindparam("limit", type_=Integer))
)


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
        unfolded = (event for row in rows for event in _unfold(execution_id, row, output))
        return list(islice((event for event in unfolded if event.seq > after), limit))


def _unfold(execution: ExecutionId, row: RowMapping, output: str | None) -> Iterator[Event]:
    """The events in `row`: one, or each piece of messages that were folded."""
    if CUTS not in row["data"]:
        yield event_of(row)
        return
    for piece in unfold(row, output):
        yield piece.to_event(execution)
