"""Tasks of workflows as rows: how a report changes them.

row                       report                      becomes
(none)                    any                         a new row, up to TASKS_KEPT_MAX of an execution
COMPLETED or SKIPPED      RUNNING or WAITING          stays as it is: a replay goes past it once more
ended                     the same phase              stays as it is
any other                 any                         as reported; it began when it began first
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, func, insert, select, update

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.task import GOING_ON, TASKS_KEPT_MAX, TaskPhase, TaskState
from stigmer_cli.store.database import Writing
from stigmer_cli.store.tables import tasks

_OF = tasks.c
_ITS = _OF.execution_id == bindparam("id")
_NAMED = select(tasks).where(_ITS, _OF.key.in_(bindparam("keys", expanding=True)))
_LAST_SEQ = select(func.coalesce(func.max(_OF.seq), 0)).where(_ITS)
_UPDATE = update(tasks).where(_OF.execution_id == bindparam("of_execution"), _OF.key == bindparam("of_key"))
_KEYS = select(_OF.key, _OF.seq).where(_ITS)
_FORGET = delete(tasks).where(_ITS, _OF.seq >= bindparam("first"))
_GOES_ON: Mapping[str, Any] = {"phase": TaskPhase.RUNNING, "completed_at": None, "error": None}
_SUCCEEDED = frozenset({TaskPhase.COMPLETED, TaskPhase.SKIPPED})


async def write_tasks(writing: Writing, execution_id: ExecutionId, reported: Sequence[TaskState]) -> None:
    """Write how far tasks of the execution are, whose row is locked; of one that is named twice, the last word."""
    if not reported:
        return
    latest = {task.key: task for task in reported}
    found = await writing.connection.execute(_NAMED, {"id": execution_id, "keys": list(latest)})
    known = {row["key"]: row for row in found.mappings()}
    fresh = [task for key, task in latest.items() if key not in known]
    changed = [
        {"of_execution": execution_id, "of_key": key, **_values(task, row)}
        for key, row in known.items()
        if _moves(row, task := latest[key])
    ]
    if changed:
        await writing.connection.execute(_UPDATE, changed)
    if fresh:
        last = int(await writing.connection.scalar(_LAST_SEQ, {"id": execution_id}) or 0)
        rows = [
            {"execution_id": execution_id, "seq": last + place, "key": task.key, **_values(task, None)}
            for place, task in enumerate(fresh[: max(0, TASKS_KEPT_MAX - last)], start=1)
        ]
        if rows:
            await writing.connection.execute(insert(tasks), rows)


async def forget_tasks(writing: Writing, execution_id: ExecutionId, step: str) -> None:
    """Forget the task of `step` and all that began after it: they are performed again. Tasks around it go on."""
    found = (await writing.connection.execute(_KEYS, {"id": execution_id})).all()
    within = [row for row in found if f"{step}/".startswith(f"{row.key}/")]
    if not within:
        return
    first = max(within, key=lambda row: len(row.key))
    await writing.connection.execute(_FORGET, {"id": execution_id, "first": first.seq})
    for row in within:
        going_on = {"of_execution": execution_id, "of_key": row.key, **_GOES_ON}
        await writing.connection.execute(_UPDATE, going_on)


def _moves(row: RowMapping, task: TaskState) -> bool:
    """Whether a report says more than `row` does."""
    phase = TaskPhase(row["phase"])
    if phase in _SUCCEEDED and task.phase in GOING_ON:
        return False
    return phase in GOING_ON or task.phase is not phase


def _values(task: TaskState, row: RowMapping | None) -> Mapping[str, Any]:
    return {
        "name": task.name,
        "phase": task.phase,
        "attempts": task.attempts if row is None else max(task.attempts, int(row["attempts"])),
        "started_at": task.started_at if row is None else min(task.started_at, row["started_at"]),
        "completed_at": task.completed_at,
        "error": task.error,
    }


def task_of(row: RowMapping) -> TaskState:
    """The task in `row`."""
    return TaskState(
        key=row["key"],
        name=row["name"],
        phase=TaskPhase(row["phase"]),
        attempts=row["attempts"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        error=row["error"],
    )
