"""Writes of one kind as one statement, built once: building one costs SQLAlchemy more than running it costs SQLite.

Values are handed in by name when a statement runs: `row_id` says which row, `is_COLUMN` what it is expected to hold,
`to_COLUMN` what it is to hold.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, TextClause, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate, Update

from stigmer_cli.store.tables import executions

KINDS_MAX = 256
"""Kinds of transition that are kept; there are about forty."""

PRIMARY_KEY = "sqlite_autoindex_executions_1"
"""What SQLite calls the index of the primary key."""

Guards = tuple[ColumnElement[bool] | TextClause, ...]

_ROW = executions.c


def parameters(
    id_: str, *, expects: Mapping[str, object], values: Mapping[str, object], events: int
) -> dict[str, object]:
    """The values of a statement of `change` or `write` for one row."""
    return {
        "row_id": id_,
        "events": events,
        **{f"is_{name}": value for name, value in expects.items()},
        **{f"to_{name}": value for name, value in values.items()},
    }


def by_index(query: Select[Any], index: str) -> Select[Any]:
    """`query`, answered from `index`.

    SQLite guesses without statistics: it would rather read and sort a whole phase than use a partial index.
    """
    return query.with_hint(executions, f"INDEXED BY {index}", "sqlite")


def named(query: Select[Any]) -> Select[Any]:
    """`query` of those whose id is among `ids`, each looked up by it, however many others are open."""
    return by_index(query, PRIMARY_KEY).where(_ROW.id.in_(bindparam("ids", expanding=True)))


@lru_cache(maxsize=KINDS_MAX)
def change(
    guards: Guards, expects: tuple[str, ...], values: tuple[str, ...], fills: tuple[str, ...]
) -> ReturningUpdate[Any]:
    """As `write`, but only if the row is as expected; gives back its `event_seq`."""
    expected = [_ROW[name] == bindparam(f"is_{name}") for name in expects]
    return write(values, fills).where(*guards, *expected).returning(_ROW.event_seq)


@lru_cache(maxsize=KINDS_MAX)
def write(values: tuple[str, ...], fills: tuple[str, ...]) -> Update:
    """Write the columns `values`, and `fills` where they are NULL, into the row, which becomes a version newer.

    Its timeline grows by as many events as `events` says.
    """
    to = {name: bindparam(f"to_{name}", type_=_ROW[name].type) for name in (*values, *fills)}
    filled = {name: func.coalesce(_ROW[name], to[name]) for name in fills}
    counted = {"version": _ROW.version + 1, "event_seq": _ROW.event_seq + bindparam("events")}
    return update(executions).where(_ROW.id == bindparam("row_id")).values({**to, **filled, **counted})


@lru_cache(maxsize=KINDS_MAX)
def standing(guards: Guards, columns: tuple[str, ...]) -> Select[Any]:
    """`id`, `event_seq` and `columns` of those of `ids` that are as `guards` say, locked in order of id."""
    found = select(_ROW.id, _ROW.event_seq, *(_ROW[name] for name in columns))
    return named(found).where(*guards).order_by(_ROW.id).with_for_update()


@cache
def insert_or_skip(
    insert: Callable[[Table], sqlite.Insert | postgresql.Insert], table: Table, column: str | None
) -> ReturningInsert[Any]:
    """An insert that does nothing when the unique `column` (None: any) is taken; gives back a new row's primary key."""
    return (
        insert(table).on_conflict_do_nothing(index_elements=[column] if column else None).returning(*table.primary_key)
    )
