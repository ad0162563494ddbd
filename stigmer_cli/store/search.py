"""Full-text search over executions: FTS5 in SQLite, a GIN index in PostgreSQL; one meaning of a search in both.

In SQLite, triggers keep the FTS5 table `execution_texts` in step with the rows, in the same commit. It holds an index
and no text: the texts stay in `executions`. Its row number is made of `created_at`, so that FTS5 itself returns the
newest matches first, and stops at the end of a page: at 1,000,000 executions, 51 of a word that all of them contain
take 0.5 ms, where sorting the matches takes 1.7 s.

In PostgreSQL an index on the expression `SEARCHED` needs no column and no trigger.

Neither index finds a part of what has no spaces, as Chinese has none. Such terms are looked for in the texts.
"""

import re
from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Integer,
    MetaData,
    Table,
    bindparam,
    column,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    type_coerce,
)

from stigmer_cli.domain.search import SEARCHED_MAX, SearchTerm
from stigmer_cli.store.columns import Words
from stigmer_cli.store.tables import executions

NUMBERS_PER_MICROSECOND = 2_048
"""How many executions of one microsecond have a row number of their own."""

MICROSECONDS_MAX = 4_503_599_627_370_495
"""2**63 / NUMBERS_PER_MICROSECOND - 1: row numbers have 63 bits."""

PUNCTUATION = "-./@&<>+~\\"
"""ASCII characters that PostgreSQL's parser would take for a part of a word: addresses, paths, tags, versions."""

SEARCHED = (
    f"to_tsvector('simple'::regconfig, translate(left(message, {SEARCHED_MAX}) || ' ' || "
    f"left(coalesce(output, ''), {SEARCHED_MAX}) || ' ' || left(coalesce(error, ''), {SEARCHED_MAX}), "
    f"'{PUNCTUATION}', '{' ' * len(PUNCTUATION)}'))"
)
"""The indexed expression in PostgreSQL, word for word as in the migration, or the index is not used."""

texts = table("execution_texts", column("rowid", Integer), column("execution_texts"))
numbers = Table(
    "execution_numbers", MetaData(), Column("number", BigInteger, primary_key=True), Column("execution_id", Words)
)

_WORD = re.compile(rf"[^\s\"':()|!*{re.escape(PUNCTUATION)}]+")


def find_indexed(terms: Sequence[SearchTerm]) -> Sequence[SearchTerm]:
    """Those of `terms` that the index finds."""
    return [term for term in terms if not term.is_unspaced]


def contain_unspaced(terms: Sequence[SearchTerm]) -> Sequence[ColumnElement[bool]]:
    """A condition on `executions` for each of the other terms: its text has their pieces, in this order."""
    columns = (executions.c.message, executions.c.output, executions.c.error)
    texts_ = [func.lower(func.substr(func.coalesce(column, ""), 1, SEARCHED_MAX)) for column in columns]
    return [or_(*(one.like(f"%{'%'.join(term.pieces)}%") for one in texts_)) for term in terms if term.is_unspaced]


def join_matches() -> FromClause:
    """SQLite: the matches of a search, with their executions."""
    joined = texts.join(numbers, numbers.c.number == texts.c.rowid)
    return joined.join(executions, executions.c.id == numbers.c.execution_id)


def matches_sqlite(terms: Sequence[SearchTerm]) -> ColumnElement[bool]:
    """The condition on `join_matches`."""
    wanted = " AND ".join(f'"{term.text}"' + (" *" if term.is_prefix else "") for term in terms)
    return texts.c.execution_texts.op("MATCH", is_comparison=True)(literal(wanted))


def has_match(terms: Sequence[SearchTerm]) -> ColumnElement[bool]:
    """SQLite: the condition on `executions` that one contains every term: one look into the index."""
    accepted_us = type_coerce(executions.c.created_at, BigInteger)
    first = func.min(accepted_us, literal(MICROSECONDS_MAX - 1, BigInteger)) * NUMBERS_PER_MICROSECOND
    # As a value, not in a join: SQLite would read the matches, and look for the execution among them.
    number = (
        select(numbers.c.number)
        .where(
            numbers.c.number.between(first, first + (NUMBERS_PER_MICROSECOND - 1)),
            numbers.c.execution_id == executions.c.id,
        )
        .correlate(executions)
        .scalar_subquery()
    )
    return exists().where(texts.c.rowid == number, matches_sqlite(terms))


def matches_postgresql(terms: Sequence[SearchTerm]) -> ColumnElement[bool]:
    """The condition on `executions`."""
    wanted = " & ".join(f"({words})" for term in terms if (words := _phrase(term)))
    query = text("to_tsquery('simple'::regconfig, :searched)").bindparams(bindparam("searched", wanted))
    return literal_column(SEARCHED).op("@@", is_comparison=True)(query)


def numbers_between(first_us: int | None, last_us: int | None) -> Sequence[ColumnElement[bool]]:
    """SQLite: bounds of the row number for executions accepted from `first_us` to `last_us`, in microseconds."""
    number, bounds = texts.c.rowid, list[ColumnElement[bool]]()
    if first_us is not None:
        bounds.append(number >= literal(_number(first_us), BigInteger))
    if last_us is not None:
        bounds.append(number < literal(_number(last_us + 1), BigInteger))
    return bounds


def _number(since_1970_us: int) -> int:
    """The first row number of a microsecond; of a moment beyond 2112, or as far before 1970, that of the limit."""
    return max(-MICROSECONDS_MAX, min(since_1970_us, MICROSECONDS_MAX)) * NUMBERS_PER_MICROSECOND


def _phrase(term: SearchTerm) -> str:
    """A term in the language of `to_tsquery`."""
    *words, last = _WORD.findall(term.text) or [""]
    if not last:
        return ""
    return " <-> ".join([*(f"'{word}'" for word in words), f"'{last}'" + (":*" if term.is_prefix else "")])
