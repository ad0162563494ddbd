"""A new execution takes over the beginning of another one's journal; the other one is not touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Insert,
    Integer,
    Table,
    Text,
    bindparam,
    insert,
    literal,
    select,
    update,
)

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.step import RECORDED
from stigmer_cli.errors import Conflict
from stigmer_cli.store.conversations import copy_conversation
from stigmer_cli.store.database import Writing
from stigmer_cli.store.follow_ups import ask_before, copy_asked
from stigmer_cli.store.step_rows import find_step, forget, read_journal
from stigmer_cli.store.tables import decisions, executions, step_contents, steps
from stigmer_cli.store.time_limits import list_limits

_SOURCE: BindParameter[str] = bindparam("source", type_=Text)
_TARGET: BindParameter[str] = bindparam("target", type_=Text)
_BEFORE: BindParameter[int] = bindparam("before", type_=Integer)
_NEW: Mapping[str, ColumnElement[Any]] = {"execution_id": _TARGET, "epoch": literal(0)}
"""Epoch 0: the new execution has recorded nothing itself yet."""


def _copy(table: Table) -> Insert:
    """The rows of `_SOURCE` before `_BEFORE` once more, as those of `_TARGET`."""
    columns: list[ColumnElement[Any]] = [_NEW.get(column.name, column) for column in table.c]
    rows = select(*columns).where(table.c.execution_id == _SOURCE, table.c.seq < _BEFORE)
    return insert(table).from_select([column.name for column in table.c], rows)


def _copy_decisions() -> Insert:
    """What was decided about the steps that are taken over."""
    columns: list[ColumnElement[Any]] = [_NEW.get(column.name, column) for column in decisions.c]
    taken = select(steps.c.key).where(steps.c.execution_id == _SOURCE, steps.c.seq < _BEFORE)
    rows = select(*columns).where(decisions.c.execution_id == _SOURCE, decisions.c.step.in_(taken))
    return insert(decisions).from_select([column.name for column in decisions.c], rows)


_OTHER = executions.alias()
_COPIES = (_copy(steps), _copy(step_contents), _copy_decisions())


_PIN = (
    update(executions)
    .where(executions.c.id == _TARGET)
    .values(
        {
            name: select(_OTHER.c[name]).where(_OTHER.c.id == _SOURCE).scalar_subquery()
            for name in ("agent_version", "began_ms", "began_version")
        }
    )
)
"""Steps are taken over only by the definition that recorded them, which saw when the execution began."""


@dataclass(frozen=True, kw_only=True)
class Fork:
    """Which execution's journal is taken over, up to and without the step `before`, by its key.

    `asks`: the message of the new one comes before that step, which is a turn; else it is that of the source.
    """

    source: ExecutionId
    before: str
    asks: bool = False


async def copy_journal(writing: Writing, fork: Fork, target: ExecutionId) -> None:
    """Give `target`, which is new, the steps that `fork` names.

    Raises NotFound for a step that is not there, and Conflict if one of those before it has no recorded result, and
    what `ask_before` raises.
    """
    journal = await read_journal(writing, fork.source)
    first = find_step(fork.source, journal, fork.before)
    left = next((step for step in journal if step.seq < first.seq and step.state not in RECORDED), None)
    if left is not None:
        raise Conflict(
            f"step {left.key} of {fork.source} comes before {fork.before}, and has no recorded result ({left.state})",
            hint=f"stigmer executions fork {fork.source} --from {left.key}",
        )
    await writing.connection.execute(_PIN, {"source": fork.source, "target": target})
    await copy_conversation(writing, fork.source, target)
    if fork.asks:
        await ask_before(writing, fork.source, first.key, target)
    else:
        await copy_asked(writing, fork.source, target)
    named = {"source": fork.source, "target": target, "before": first.seq}
    for copy in _COPIES:
        await writing.connection.execute(copy, named)
    for step in list_limits([step for step in journal if step.seq < first.seq], [first.key]):
        await forget(writing, target, step.seq)  # its timeouts begin with it
