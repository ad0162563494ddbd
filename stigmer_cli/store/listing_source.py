"""Where a listing reads executions from, newest first: all of them, those with a label, or the matches of a search."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, UnaryExpression, literal, select, tuple_

from stigmer_cli.store.columns import Moment, Words, micros
from stigmer_cli.store.labels import join_labels
from stigmer_cli.store.search import join_matches, numbers_between, texts
from stigmer_cli.store.statements import PRIMARY_KEY, by_index
from stigmer_cli.store.tables import execution_labels, executions

Conditions = list[ColumnElement[bool]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """An index that holds executions in order of age, and the executions that its entries name.

    `index` is its table without the executions. `created_at` and `id` are the columns of the index, so that a condition
    on them is a range of it.
    """

    tables: FromClause
    index: FromClause
    created_at: ColumnElement[datetime]
    id: ColumnElement[str]
    order: tuple[UnaryExpression[Any], ...]
    has_numbers: bool = False

    def select(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """A query of `columns`; SQLite reads the index, and looks each execution up."""
        query = select(*columns).select_from(self.tables)
        return query if self.tables is executions else by_index(query, PRIMARY_KEY)

    def select_keys(self) -> Select[Any]:
        """A query of the entries of the index, without the executions: it may only be counted."""
        return select(literal(1).label("one")).select_from(self.index)

    def accepted_between(self, since: datetime | None, until: datetime | None) -> Conditions:
        """The condition of having been accepted at `since` or later, and before `until`."""
        found: Conditions = []
        if since is not None:
            found.append(self.created_at >= literal(since, Moment()))
        if until is not None:
            found.append(self.created_at < literal(until, Moment()))
        return [*found, *self._numbers(since, until)]

    def accepted_at(self, moment: datetime) -> Conditions:
        """The condition of having been accepted at exactly this moment."""
        return [self.created_at == literal(moment, Moment()), *self._numbers(moment, moment)]

    def behind(self, key: tuple[datetime, str] | None) -> Conditions:
        """The condition of following `key` in a list: of being older."""
        if key is None:
            return []
        position = tuple_(literal(key[0], Moment()), literal(key[1], Words()))
        return [tuple_(self.created_at, self.id) < position, *self._numbers(None, key[0])]

    def _numbers(self, since: datetime | None, until: datetime | None) -> Conditions:
        if not self.has_numbers:
            return []
        return list(
            numbers_between(
                None if since is None else micros(since),
                None if until is None else micros(until),
            )
        )


def _make_source(
    tables: FromClause, index: FromClause, created_at: ColumnElement[Any], id_: ColumnElement[Any]
) -> Source:
    order = (created_at.desc(), id_.desc())
    return Source(tables=tables, index=index, created_at=created_at, id=id_, order=order)


EVERYTHING = _make_source(executions, executions, executions.c.created_at, executions.c.id)
LABELLED = _make_source(join_labels(), execution_labels, execution_labels.c.created_at, execution_labels.c.execution_id)
MATCHES = Source(
    tables=join_matches(),
    index=texts,
    created_at=executions.c.created_at,
    id=executions.c.id,
    order=(texts.c.rowid.desc(),),
    has_numbers=True,
)
"""In SQLite only. FTS5 orders them by time alone, not by id within one moment."""
