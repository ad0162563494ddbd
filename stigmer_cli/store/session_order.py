"""The order in a session: the place that a new execution takes, and what waits for its turn.

An execution of a session is not submitted while one before it is open, so that it sees what that one answers.
"""

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, exists, func, or_, select, update

from stigmer_cli.domain.execution import EventType, QueueReason
from stigmer_cli.domain.session import OPEN_MAX
from stigmer_cli.errors import Conflict
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.database import EventDraft, Transition, Writing
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.statements import by_index, select_by_ids
from stigmer_cli.store.tables import IN_SESSION, OPEN_IN_SESSION, executions, sessions

_ROW = executions.c
_BEFORE = executions.alias("earlier")
_NAME: BindParameter[str] = bindparam("session_name")
_IS_OPEN = OPEN_IN_SESSION  # the names in it are those of the innermost table

_WAITS: ColumnElement[bool] = exists(
    select(_BEFORE.c.id).where(_BEFORE.c.session == _ROW.session, _BEFORE.c.session_seq < _ROW.session_seq, _IS_OPEN)
)

_HAS_BEGUN: ColumnElement[bool] = _ROW.conversation.is_not(None)

HAS_ITS_TURN: ColumnElement[bool] = or_(_ROW.session.is_(None), _HAS_BEGUN, ~_WAITS)
"""No execution that comes before it in its session is open, or it began when none was: what it sees is decided then."""

_WAITED: ColumnElement[bool] = exists(
    select(_BEFORE.c.id).where(
        _BEFORE.c.session == _ROW.session,
        _BEFORE.c.session_seq < _ROW.session_seq,
        _BEFORE.c.completed_at >= bindparam("since", type_=Moment),
    )
)
BEHIND_ANOTHER = select_by_ids(select(_ROW.id)).where(IN_SESSION, ~_HAS_BEGUN, or_(_WAITS, _WAITED))
"""Those of `ids` that wait for their turn, or waited for it at `since`."""

IS_UNNEEDED: ColumnElement[bool] = or_(
    _ROW.session.is_(None), ~exists(select(_BEFORE.c.id).where(_BEFORE.c.session == _ROW.session, _IS_OPEN))
)
"""No execution of its session is open, so that none goes on with what it said."""

_TAKE = (
    update(sessions)
    .where(sessions.c.name == _NAME)
    .values(last_seq=sessions.c.last_seq + 1, updated_at=bindparam("now"))
    .returning(sessions.c.last_seq, sessions.c.agent_name)
)
_OPEN_ONES = (
    select(_ROW.id, _ROW.phase)
    .where(OPEN_IN_SESSION, _ROW.session == _NAME, _ROW.id != bindparam("id"))
    .order_by(_ROW.session_seq.desc())
    .limit(OPEN_MAX)
)


def count_waiting(queued: ColumnElement[bool] | Any) -> Select[Any]:  # noqa: ANN401 - a text clause, too
    """How many of those that `queued` says wait for their turn."""
    counted = by_index(select(func.count()).select_from(executions), "ix_executions_session_open")
    return counted.where(queued, OPEN_IN_SESSION, ~_HAS_BEGUN, _WAITS)


async def join_session(writing: Writing, draft: ExecutionDraft, name: str) -> None:
    """Give the execution of `draft`, which has just been written, the next place in the session `name`.

    The first one begins the session. Raises Conflict for a session with another agent, and for one in which as many as
    may be are open.
    """
    connection = writing.connection
    values = {"name": name, "agent_name": draft.agent_name, "created_at": writing.now, "updated_at": writing.now}
    taken = None
    while taken is None:  # what was there already may be deleted before its place is taken
        await connection.execute(writing.backend.insert_or_skip(sessions, "name"), {**values, "last_seq": 0})
        taken = (await connection.execute(_TAKE, {"session_name": name, "now": writing.now})).one_or_none()
    seq, agent = taken
    if agent != draft.agent_name:
        raise Conflict(
            f"session {name} is a conversation with the agent {agent}, and not with {draft.agent_name}",
            hint=f"take another name, or: stigmer sessions get {name}",
        )
    before = (await connection.execute(_OPEN_ONES, {"session_name": name, "id": draft.id})).all()
    if len(before) >= OPEN_MAX:
        raise Conflict(
            f"{OPEN_MAX} executions of session {name} have not ended, which is the most",
            hint=f"stigmer executions list --session {name}",
        )
    place = {"session": name, "session_seq": seq}
    if not before:
        await writing.change(draft.id, Transition(values=place))
        return
    detail = f"waits for its turn in session {name}, behind {before[0].id}"
    waits = {"queue_reason": QueueReason.SESSION_BUSY, "queue_detail": detail, "next_try_at": None}
    event = EventDraft(
        type=EventType.QUEUED,
        text=f"queued: {detail}",
        data={"reason": QueueReason.SESSION_BUSY, "behind": before[0].id},
    )
    await writing.change(draft.id, Transition(values={**place, **waits}, event=event))
