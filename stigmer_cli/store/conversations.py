"""The conversation that an execution sees: whose questions and answers, decided once, and read from where they stand.

No text is kept twice: an execution has the ids of those before it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Integer, Select, bindparam, func, select, update

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.session import EXCHANGES_MAX, Exchange, ExchangeSize, choose_newest
from stigmer_cli.domain.step import StepKind, StepState
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.database import Transition, Writing
from stigmer_cli.store.tables import IN_SESSION, executions, steps

KEY = "executions"
"""Under which the document of a conversation has the ids."""

_ROW = executions.c
_ID: BindParameter[str] = bindparam("execution")
_PLACE = select(_ROW.session, _ROW.session_seq, _ROW.conversation).where(_ROW.id == _ID)
_IS_UNDECIDED = _ROW.conversation.is_(None)
_TURNS = (
    select(func.count())
    .where(steps.c.execution_id == _ROW.id, steps.c.kind == StepKind.TURN, steps.c.state == StepState.DONE)
    .scalar_subquery()
)
_BEFORE = (
    select(_ROW.id, (func.length(_ROW.message) + func.length(func.coalesce(_ROW.output, ""))).label("chars"))
    .where(
        IN_SESSION,
        _ROW.session == bindparam("session"),
        _ROW.session_seq < bindparam("before", type_=Integer),
        _ROW.phase == Phase.COMPLETED,
    )
    .order_by(_ROW.session_seq.desc())
    .limit(EXCHANGES_MAX)
)
_EXCHANGES: Select[Any] = select(_ROW.id, _ROW.message, _ROW.output, _TURNS.label("turns")).where(
    _ROW.id.in_(bindparam("ids", expanding=True))
)
_COPY = update(executions).where(_ROW.id == _ID).values(conversation=bindparam("seen", type_=_ROW.conversation.type))


async def choose_conversation(connection: AsyncConnection, execution_id: ExecutionId) -> Sequence[ExecutionId]:
    """Whose questions and answers the execution sees, oldest first: as was decided, or as it would be now."""
    row = (await connection.execute(_PLACE, {"execution": execution_id})).one_or_none()
    if row is None:
        return ()
    if row.conversation is not None:
        return tuple(row.conversation[KEY])
    if row.session is None:
        return ()
    found = await connection.execute(_BEFORE, {"session": row.session, "before": row.session_seq})
    return choose_newest([ExchangeSize(execution=one.id, chars=one.chars) for one in found])


async def read_exchanges(connection: AsyncConnection, ids: Sequence[ExecutionId]) -> Sequence[Exchange]:
    """What was asked and answered in `ids`, in that order; one that was deleted is left out."""
    if not ids:
        return ()
    rows = {row.id: row for row in await connection.execute(_EXCHANGES, {"ids": list(ids)})}
    return [
        Exchange(execution=id_, message=row.message, output=row.output or "", turns=max(1, row.turns))
        for id_ in ids
        if (row := rows.get(id_)) is not None
    ]


async def has_lost_exchanges(connection: AsyncConnection, execution_id: ExecutionId) -> bool:
    """Whether one of those that the execution sees was deleted."""
    ids = await choose_conversation(connection, execution_id)
    return len(await read_exchanges(connection, ids)) < len(ids)


async def decide_conversation(writing: Writing, execution_id: ExecutionId) -> Sequence[ExecutionId]:
    """As `choose_conversation`, and from now on it stays the same."""
    ids = await choose_conversation(writing.connection, execution_id)
    values = {"conversation": {KEY: list(ids)}}
    await writing.change(execution_id, Transition(guards=(_IS_UNDECIDED,), values=values))
    return ids


async def copy_conversation(writing: Writing, source: ExecutionId, target: ExecutionId) -> None:
    """Have `target`, which is new, see what `source` sees."""
    ids = await choose_conversation(writing.connection, source)
    if ids:
        await writing.connection.execute(_COPY, {"execution": target, "seen": {KEY: list(ids)}})
