"""How far executions have come by their own record, read for many at once."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, select

from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.progress import Progress
from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.tables import events

RESUMES = "resumes"
"""Where an event that says "resumed" keeps how many of them there were in a row."""

_OF = events.c
_BEGUN_AGAIN = (
    select(_OF.execution_id, _OF.type, _OF.data)
    .where(
        _OF.execution_id.in_(bindparam("ids", expanding=True)),
        _OF.type.in_((EventType.RESUMED, EventType.STARTED_OVER)),
    )
    .order_by(_OF.execution_id, _OF.seq)
)


class ProgressTable:
    """What is recorded of executions beside their rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def read(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Progress]:
        """The progress of those of `ids` of which anything is recorded."""
        async with self._database.reading() as connection:
            found = await connection.execute(_BEGUN_AGAIN, {"ids": list(ids)})
            resumes = {id_: int(data[RESUMES]) if type_ == EventType.RESUMED else 0 for id_, type_, data in found}
        return {id_: Progress(resumes=number) for id_, number in resumes.items()}
