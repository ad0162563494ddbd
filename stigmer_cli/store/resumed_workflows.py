"""What has to go so that a workflow performs a step again: the step, what followed from it, and whom it waited for.

An execution that a step waited for (`children.py`) is replaced by a new one, because its parent waits for it no more.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import RowMapping, bindparam, select, update

from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import CUT_OFF, RECORDED, Step, StepKind, StepState
from stigmer_cli.store.children import (
    HAS_CHILD_ID,
    REPLACED,
    REPLACED_MAX,
    ask_to_end,
    list_child_bounds,
    list_child_ids,
    make_child_id,
)
from stigmer_cli.store.database import Writing
from stigmer_cli.store.tables import executions

BRANCHES, FAILED_BRANCH = "/fork/branches/", "/fork/failed"
CHILD_NAMES = {": agent": Kind.AGENT, ": workflow": Kind.WORKFLOW}
"""How the names of steps end that wait for an execution."""

START_NAME = ": start of workflow"
"""How the names of steps end that start an execution of a workflow, and do not wait for it."""

CHUNK = 5_000
"""Executions of one statement: SQLite takes 32,766 parameters unless it was built otherwise, and PostgreSQL 65,535."""

_ROW = executions.c
_ERROR = select(_ROW.error).where(_ROW.id == bindparam("id"))
_CHILD = select(_ROW.id, _ROW.phase).where(
    _ROW.id.in_(bindparam("ids", expanding=True)), _ROW.parent == bindparam("parent")
)
_CHILDREN = select(_ROW.id, _ROW.phase, _ROW.cancel_requested_at).where(_ROW.parent == bindparam("id"), HAS_CHILD_ID)
_PARENT_OF = select(_ROW.parent).where(_ROW.id == bindparam("id"))
_RELEASE = update(executions).where(_ROW.id.in_(bindparam("ids", expanding=True))).values(parent=None)
_REPLACE = (
    update(executions)
    .where(_ROW.id.in_(bindparam("ids", expanding=True)), _ROW.parent.is_(None), _ROW.request_hash != REPLACED)
    .values(request_hash=REPLACED)
    .returning(_ROW.id)
)


def is_cut_off(step: Step) -> bool:
    """Whether it may have taken effect, and its workflow went on without it."""
    return step.state is StepState.FAILED and CUT_OFF in (step.error or "")


async def read_error(writing: Writing, id_: ExecutionId) -> str:
    """With which error the execution failed; empty where it did not."""
    return str(await writing.connection.scalar(_ERROR, {"id": id_}) or "")


def find_culprit(journal: Sequence[Step], error: str) -> Step | None:
    """The step whose failure ended the workflow: the last one with its error, or else the last step, if it failed."""
    failed = [step for step in journal if step.state is StepState.FAILED and step.kind is StepKind.TASK]
    named = [step for step in failed if step.error and error.startswith(step.error)]
    if named:
        return named[-1]
    return failed[-1] if failed and failed[-1] is journal[-1] and not is_cut_off(failed[-1]) else None


def list_decisions(journal: Sequence[Step], keys: Collection[str]) -> Sequence[Step]:
    """The steps that say that the branch of one of `keys` has failed its fork."""
    forks = {key[:at] for key in keys for at in range(len(key)) if key.startswith(BRANCHES, at)}
    return [step for step in journal if step.key.endswith(FAILED_BRANCH) and step.key[: -len(FAILED_BRANCH)] in forks]


async def find_child(writing: Writing, parent: ExecutionId, step: Step) -> RowMapping | None:
    """The execution that the step waits for: its id and phase; None where it waits for none."""
    kind = _find_kind(step)
    if kind is None:
        return None
    given = {"ids": list_child_ids(parent, step.key, kind), "parent": parent}
    return (await writing.connection.execute(_CHILD, given)).mappings().one_or_none()


async def lock_parent(writing: Writing, id_: ExecutionId) -> RowMapping | None:
    """Lock who waits or waited for the execution; None where that is nobody."""
    parent: ExecutionId | None = await writing.connection.scalar(_PARENT_OF, {"id": id_})
    return None if parent is None else await writing.lock_row(parent)


def has_read(parent: ExecutionId, journal: Sequence[Step], child: ExecutionId) -> bool:
    """Whether `parent`, whose journal that is, has recorded how `child` ended, and waits for it no more."""
    return any(step.state in RECORDED and _find_in({child}, parent, step) for step in journal)


async def detach(writing: Writing, ids: Sequence[ExecutionId]) -> None:
    """Have nobody wait for `ids` any more."""
    await writing.connection.execute(_RELEASE, {"ids": list(ids)})


async def release(writing: Writing, ids: Sequence[ExecutionId]) -> None:
    """Have nobody wait for `ids` any more, and end those that have not ended. They may be tens of thousands."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        await detach(writing, chunk)
        await ask_to_end(writing, chunk)


async def start_others(writing: Writing, starter: ExecutionId, steps: Sequence[Step]) -> Sequence[ExecutionId]:
    """Have those of `steps` that started an execution without waiting for it start another one beside it.

    Returns those that were started; they go on by themselves.
    """
    found: list[ExecutionId] = []
    for step in steps:
        if step.kind is StepKind.TASK and step.name.endswith(START_NAME):
            given = {"ids": list_child_ids(starter, step.key, Kind.WORKFLOW)}
            found += (await writing.connection.execute(_REPLACE, given)).scalars()
    return found


async def list_children_but(writing: Writing, parent: ExecutionId, kept: Sequence[Step]) -> Sequence[ExecutionId]:
    """The executions that `parent` waits or waited for, without those of the steps `kept`."""
    known = await _read_children(writing, parent)
    return _leave_out(known, known, parent, kept)


async def list_cancelled(writing: Writing, parent: ExecutionId, kept: Sequence[Step]) -> Sequence[ExecutionId]:
    """Those of `list_children_but` that were cancelled, or are being cancelled: `parent` would fail of it."""
    known = await _read_children(writing, parent)
    return _leave_out([id_ for id_, is_cancelled in known.items() if is_cancelled], known, parent, kept)


async def _read_children(writing: Writing, parent: ExecutionId) -> Mapping[ExecutionId, bool]:
    """The executions that `parent` waits or waited for, and whether each was cancelled, or is being cancelled."""
    found = await writing.connection.execute(_CHILDREN, {"id": parent, **list_child_bounds(parent)})
    return {
        ExecutionId(row.id): row.phase == Phase.CANCELLED
        or (row.cancel_requested_at is not None and not Phase(row.phase).is_terminal)
        for row in found.all()
    }


def _leave_out(
    children: Collection[ExecutionId], known: Collection[ExecutionId], parent: ExecutionId, kept: Sequence[Step]
) -> Sequence[ExecutionId]:
    """`children` without those of the steps `kept`."""
    of_kept = {_find_in(known, parent, step) for step in (kept if children else ())}
    return [id_ for id_ in children if id_ not in of_kept]


def _find_in(known: Collection[ExecutionId], parent: ExecutionId, step: Step) -> ExecutionId | None:
    """The execution that the step waited for, among those that are `known`: most often the first that it asked for."""
    kind = _find_kind(step)
    if kind is None:
        return None
    ids = (make_child_id(parent, step.key, kind, number) for number in range(REPLACED_MAX + 1))
    return next((id_ for id_ in ids if id_ in known), None)


def _find_kind(step: Step) -> Kind | None:
    if step.kind is not StepKind.TASK:
        return None
    return next((kind for end, kind in CHILD_NAMES.items() if step.name.endswith(end)), None)
