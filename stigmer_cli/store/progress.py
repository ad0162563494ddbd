"""How far executions have come by their own record, read for many at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, func, select

from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.progress import Progress
from stigmer_cli.domain.step import RECORDED, Step
from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.step_rows import step_of
from stigmer_cli.store.tables import IN_THE_AIR, events, steps

RESUMES = "resumes"
"""Where an event that says "resumed" keeps how many of them there were in a row."""

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_BEGUN_AGAIN = (
    select(events.c.execution_id, events.c.type, events.c.data)
    .where(events.c.execution_id.in_(_IDS), events.c.type.in_((EventType.RESUMED, EventType.STARTED_OVER)))
    .order_by(events.c.execution_id, events.c.seq)
)
_LAST_RECORDED = (
    select(steps.c.execution_id, func.max(steps.c.epoch))
    .where(steps.c.execution_id.in_(_IDS), steps.c.state.in_(sorted(RECORDED)))
    .group_by(steps.c.execution_id)
)
_IN_THE_AIR = (
    select(steps).where(steps.c.execution_id.in_(_IDS), IN_THE_AIR).order_by(steps.c.execution_id, steps.c.seq.desc())
)


class ProgressTable:
    """What is recorded of executions beside their rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def read(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Progress]:
        """The progress of those of `ids` of which anything is recorded."""
        asked = {"ids": list(ids)}
        async with self._database.reading() as connection:
            begun_again = (await connection.execute(_BEGUN_AGAIN, asked)).all()
            recorded = {id_: int(epoch) for id_, epoch in await connection.execute(_LAST_RECORDED, asked)}
            found = (await connection.execute(_IN_THE_AIR, asked)).mappings().all()
        first: dict[ExecutionId, Step] = {row["execution_id"]: step_of(row) for row in found}
        resumes: dict[ExecutionId, int] = {}
        for id_, type_, data in begun_again:
            is_counted = type_ == EventType.RESUMED and recorded.get(id_, 0) < int(data["epoch"])
            resumes[id_] = int(data[RESUMES]) if is_counted else 0
        number = Counter(row["execution_id"] for row in found)
        return {
            id_: Progress(in_the_air=first.get(id_), is_only=number[id_] <= 1, resumes=resumes.get(id_, 0))
            for id_ in (*first, *resumes)
        }
