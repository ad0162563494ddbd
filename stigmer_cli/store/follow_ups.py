"""What was asked in an execution before its message, where it is a fork that goes on with another one.

The document of a row: `turn` is before which turn its message comes, and `asked` holds the messages before that one,
each with its own turn. NULL: its message is the first, and comes before turn 0.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import BindParameter, bindparam, select, update

from stigmer_cli.domain.execution import Asked
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import Conflict
from stigmer_cli.store.database import Writing
from stigmer_cli.store.tables import executions

_TURN = re.compile(r"/turns/(\d+)")
_ID: BindParameter[str] = bindparam("execution")
_READ = select(executions.c.message, executions.c.follow_up).where(executions.c.id == _ID)
_WRITE = (
    update(executions)
    .where(executions.c.id == _ID)
    .values(follow_up=bindparam("document", type_=executions.c.follow_up.type))
)


def read_asked(message: str, document: Mapping[str, object] | None) -> Sequence[Asked]:
    """All that is asked in an execution, in order: the first before turn 0."""
    if document is None:
        return (Asked(turn=0, message=message),)
    before = cast("Sequence[Sequence[Any]]", document["asked"])
    asked = [Asked(turn=int(turn), message=str(text)) for turn, text in before]
    return (*asked, Asked(turn=int(cast("int", document["turn"])), message=message))


async def copy_asked(writing: Writing, source: ExecutionId, target: ExecutionId) -> None:
    """Have the message of `target` come where that of `source` comes."""
    row = (await writing.connection.execute(_READ, {"execution": source})).one()
    if row.follow_up is not None:
        await writing.connection.execute(_WRITE, {"execution": target, "document": row.follow_up})


async def ask_before(writing: Writing, source: ExecutionId, step: str, target: ExecutionId) -> None:
    """Have the message of `target` come before the turn `step`, behind what was asked in `source` before that.

    Raises Conflict where `step` is no turn.
    """
    found = _TURN.fullmatch(step)
    if found is None:
        turn = _TURN.match(step)
        raise Conflict(
            f"step {step} of {source} is no turn of the model: another message comes before a turn",
            hint=f"stigmer executions fork {source} --from {turn[0] if turn else '/turns/0'} --message MESSAGE",
        )
    number = int(found[1])
    row = (await writing.connection.execute(_READ, {"execution": source})).one()
    asked = [[one.turn, one.message] for one in read_asked(row.message, row.follow_up) if one.turn < number]
    if asked:
        document = {"asked": asked, "turn": number}
        await writing.connection.execute(_WRITE, {"execution": target, "document": document})
