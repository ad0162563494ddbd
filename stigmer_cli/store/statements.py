"""Writes of one kind as one statement, built once: building one costs SQLAlchemy more than running it costs SQLite.

Values are handed in by name when a statement runs: `row_id` says which row, `is_COLUMN` what it is expected to hold,
`to_COLUMN` what it is to hold.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, Table, TextClause, bindparam, func, literal, select, update
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate, Update

from stigmer_cli.store.tables import executions

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

KINDS_MAX = 256
"""Kinds of transition that are kept; there are about forty."""

PRIMARY_KEY = "sqlite_autoindex_executions_1"
"""What SQLite calls the index of the primary key."""

Guards = tuple[ColumnElement[bool] | TextClause, ...]

_ROW = executions.c

_LONG: Mapping[str, object] = {
    "message": "",
    "labels": {},
    "output": None,
    "error": None,
    "error_fields": None,
    "conversation": None,
    "follow_up": None,
}
BRIEF = tuple(literal(_LONG[c.name], c.type).label(c.name) if c.name in _LONG else c for c in _ROW)
"""A row without what may be megabytes long: loops look at thousands of rows at once, and read none of it."""


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
    """`query`, answered from `index` in SQLite, or not at all.

    SQLite's documentation warns: "The INDEXED BY clause is *not* intended for use in tuning the performance of a query.
    [...] If INDEXED BY is to be used at all, it should be inserted at the very end of the development process when
    'locking down' a design" (https://www.sqlite.org/lang_indexedby.html). Here is what else was tried, in milliseconds
    at 100,000 open executions and as many finished ones (tests/benchmarks/bench_plans.py, SQLite 3.40.1):

                     INDEXED BY  nothing  optimize  ANALYZE  ANALYZE while none was open  phase first
        next due            0.0       38        21      0.0                          0.0          0.0
        queued              1.5       28        20       33                           42          2.5
        cancel              0.0       48       0.0      0.0                          0.0          0.1
        open                0.0       28        22      0.0                          0.0          0.1
        asked by id         0.0       35       0.0      0.2                          0.1          0.1

    Without statistics SQLite reads a whole phase rather than a partial index. `PRAGMA optimize` and ANALYZE leave it
    to do so for some queries, and which they are depends on what the store held when the statistics were made. Partial
    indexes that begin with `phase` are found without a hint as long as there are no statistics; after an ANALYZE the
    query for open rows reads every finished row, and PostgreSQL has to sort what such an index returns.
    """
    return query.with_hint(executions, f"INDEXED BY {index}", "sqlite")


def select_by_ids(query: Select[Any]) -> Select[Any]:
    """`query` of those whose id is among `ids`, found by primary key."""
    return by_index(query, PRIMARY_KEY).where(_ROW.id.in_(bindparam("ids", expanding=True)))


@lru_cache(maxsize=KINDS_MAX)
def change(
    guards: Guards, expects: tuple[str, ...], values: tuple[str, ...], fills: tuple[str, ...]
) -> ReturningUpdate[Any]:
    """As `write`, but only if the row is as expected; gives back its `event_seq` and its `parent`."""
    expected = [_ROW[name] == bindparam(f"is_{name}") for name in expects]
    return write(values, fills).where(*guards, *expected).returning(_ROW.event_seq, _ROW.parent)


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
def select_and_lock(guards: Guards, columns: tuple[str, ...]) -> Select[Any]:
    """`id`, `event_seq`, `parent` and `columns` of those of `ids` that are as `guards` say, locked in order of id."""
    found = select(_ROW.id, _ROW.event_seq, _ROW.parent, *(_ROW[name] for name in columns))
    return select_by_ids(found).where(*guards).order_by(_ROW.id).with_for_update()


@cache
def insert_or_skip(
    insert: Callable[[Table], "sqlite.Insert | postgresql.Insert"], table: Table, column: str | None
) -> ReturningInsert[Any]:
    """An insert that does nothing when the unique `column` (None: any) is taken; gives back a new row, else nothing."""
    return insert(table).on_conflict_do_nothing(index_elements=[column] if column else None).returning(*table.c)
