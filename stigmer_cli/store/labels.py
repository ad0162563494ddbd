"""The index of labels: a row for each label of an execution, and one for its key, newest executions first."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, bindparam, delete, exists, insert

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.labels import LabelSelector
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.database import Writing
from stigmer_cli.store.tables import execution_labels, executions

TERM_MAX = 500
"""Characters of a label that count: an index of PostgreSQL takes no entry of more than 2,700 bytes."""

_OF = execution_labels.c


_ADD = insert(execution_labels)
_REMOVE = delete(execution_labels).where(
    _OF.label == bindparam("the_label"),
    _OF.created_at == bindparam("the_moment", type_=Moment),
    _OF.execution_id == bindparam("the_id"),
)


def index_terms(labels: Mapping[str, str]) -> Sequence[str]:
    """What the index holds of `labels`: `key` and `key=value`.

    A key that contains `=` is left out: no selector can name it.
    """
    return [term[:TERM_MAX] for key, value in labels.items() if "=" not in key for term in (key, f"{key}={value}")]


async def index_labels(writing: Writing, id_: ExecutionId, labels: Mapping[str, str]) -> None:
    """Write the index entries of an execution that is accepted in this transaction."""
    terms = dict.fromkeys(index_terms(labels))
    if terms:
        await writing.connection.execute(
            _ADD, [{"label": term, "created_at": writing.now, "execution_id": id_} for term in terms]
        )


async def forget_labels(writing: Writing, id_: ExecutionId, created_at: datetime, labels: Mapping[str, str]) -> None:
    """Delete the index entries of an execution that is deleted in this transaction."""
    terms = dict.fromkeys(index_terms(labels))
    if terms:
        await writing.connection.execute(
            _REMOVE, [{"the_label": term, "the_moment": created_at, "the_id": id_} for term in terms]
        )


def selects(selector: LabelSelector) -> ColumnElement[bool]:
    """The condition on `join_labels` that an index entry is what `selector` names."""
    return _OF.label == str(selector)[:TERM_MAX]


def join_labels() -> FromClause:
    """Index entries with their executions."""
    return execution_labels.join(executions, executions.c.id == _OF.execution_id)


def has_label(selector: LabelSelector) -> ColumnElement[bool]:
    """The condition on `executions` that an execution has the label: one look into the index."""
    other = execution_labels.alias()
    return exists().where(
        other.c.label == str(selector)[:TERM_MAX],
        other.c.created_at == executions.c.created_at,
        other.c.execution_id == executions.c.id,
    )
