"""How far the tasks of workflows are: what runs report, guarded as in `runs.py`, and what is shown."""

from collections.abc import Sequence

from sqlalchemy import Integer, bindparam, func, select

from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.task import TaskState
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.runs import ReportResult, check_begun, known_better
from stigmer_cli.store.tables import tasks
from stigmer_cli.store.task_rows import task_of, write_tasks

_OF = tasks.c
_ITS = _OF.execution_id == bindparam("id")
_COUNT = select(func.count()).select_from(tasks).where(_ITS)
_AFTER = (
    select(tasks)
    .where(_ITS, _OF.seq > bindparam("after", type_=Integer))
    .order_by(_OF.seq)
    .limit(bindparam("limit", type_=Integer))
)
_LAST = select(tasks).where(_ITS).order_by(_OF.seq.desc()).limit(bindparam("limit", type_=Integer))


class TaskTable:
    """Tasks of executions, in the order in which they began."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def report(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, reported: Sequence[TaskState]
    ) -> ReportResult:
        """Write how far tasks are; raises Conflict for an attempt that has not begun itself."""

        async def write(writing: Writing) -> ReportResult:
            row = await writing.lock_row(execution_id)
            if (known := known_better(row, epoch, run, attempt)) is not None or row is None:
                return known or ReportResult.STALE
            check_begun(row, attempt)
            await write_tasks(writing, execution_id, reported)
            return ReportResult.TAKEN

        return await self._database.write(write)

    @whole
    async def list(self, execution_id: ExecutionId, *, after: int, limit: int) -> Sequence[tuple[int, TaskState]]:
        """Up to `limit` tasks after number `after`, each with its number."""
        async with self._database.reading_once() as connection:
            found = await connection.execute(_AFTER, {"id": execution_id, "after": after, "limit": limit})
            return [(int(row["seq"]), task_of(row)) for row in found.mappings()]

    @whole
    async def list_last(self, execution_id: ExecutionId, *, limit: int) -> tuple[Sequence[tuple[int, TaskState]], int]:
        """The last `limit` tasks, each with its number, and how many are kept."""
        async with self._database.reading() as connection:
            found = await connection.execute(_LAST, {"id": execution_id, "limit": limit})
            shown = [(int(row["seq"]), task_of(row)) for row in found.mappings()][::-1]
            if len(shown) < limit:
                return shown, len(shown)
            return shown, int(await connection.scalar(_COUNT, {"id": execution_id}) or 0)
