"""Executions are found by their labels, and by the words of their messages, outputs and errors."""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Moment, Words

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Written out here, not taken from elsewhere: a migration says what was true when it was made.
_TEXT_MAX = 100_000
_LABEL_MAX = 500
_PER_MICROSECOND = 2_048
_LAST_MICROSECOND = 4_503_599_627_370_494
_BATCH = 1_000

_POSTGRESQL = (
    f"to_tsvector('simple'::regconfig, translate(left(message, {_TEXT_MAX}) || ' ' || "
    f"left(coalesce(output, ''), {_TEXT_MAX}) || ' ' || left(coalesce(error, ''), {_TEXT_MAX}), "
    "'-./@&<>+~\\', '          '))"
)


def upgrade() -> None:
    """Create both indexes, and fill them with the executions that are there."""
    op.create_table(
        "execution_labels",
        sa.Column("label", Words, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("execution_id", Words, nullable=False),
        sa.PrimaryKeyConstraint("label", "created_at", "execution_id", name="pk_execution_labels"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _index_sqlite(connection)
    else:
        # A large store takes longer than a statement may.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql(f"CREATE INDEX ix_executions_search ON executions USING gin ({_POSTGRESQL})")
    _index_labels(connection)


def _index_labels(connection: sa.Connection) -> None:
    rows = connection.execute(sa.text("SELECT id, created_at, labels FROM executions WHERE labels <> '{}'"))
    add = sa.text("INSERT INTO execution_labels (label, created_at, execution_id) VALUES (:label, :at, :id)")
    while batch := rows.fetchmany(_BATCH):
        entries = [
            {"label": label, "at": at, "id": id_}
            for id_, at, labels in batch
            for label in dict.fromkeys(
                term[:_LABEL_MAX]
                for key, value in json.loads(labels).items()
                if "=" not in key
                for term in (key, f"{key}={value}")
            )
        ]
        if entries:
            connection.execute(add, entries)


def _index_sqlite(connection: sa.Connection) -> None:
    for statement in _CREATE:
        connection.exec_driver_sql(statement)


def _text(row: str) -> str:
    return (
        f"(substr({row}.message, 1, {_TEXT_MAX}) || char(10) || coalesce(substr({row}.output, 1, {_TEXT_MAX}), '') "
        f"|| char(10) || coalesce(substr({row}.error, 1, {_TEXT_MAX}), ''))"
    )


def _first_number(row: str) -> str:
    return f"min({row}.created_at, {_LAST_MICROSECOND}) * {_PER_MICROSECOND}"


def _is_number_of(row: str) -> str:
    first = _first_number(row)
    return f"number BETWEEN {first} AND {first} + {_PER_MICROSECOND - 1} AND execution_id = {row}.id"


def _number() -> str:
    first = _first_number("new")
    return (
        "INSERT INTO execution_numbers (number, execution_id) SELECT coalesce(max(number) + 1, "
        f"{first}), new.id FROM execution_numbers WHERE number BETWEEN {first} AND {first} + {_PER_MICROSECOND - 1}"
    )


def _add() -> str:
    return (
        f"INSERT INTO execution_texts (rowid, text) SELECT number, {_text('new')} "
        f"FROM execution_numbers WHERE {_is_number_of('new')}"
    )


def _forget() -> str:
    return (
        f"INSERT INTO execution_texts (execution_texts, rowid, text) SELECT 'delete', number, {_text('old')} "
        f"FROM execution_numbers WHERE {_is_number_of('old')}"
    )


# The row number is made of the time, so that FTS5 returns the newest first.
_CREATE = (
    "CREATE TABLE execution_numbers (number INTEGER PRIMARY KEY, execution_id TEXT NOT NULL)",
    f"""
        INSERT INTO execution_numbers (number, execution_id)
        SELECT min(created_at, {_LAST_MICROSECOND}) * {_PER_MICROSECOND}
            + row_number() OVER (PARTITION BY created_at ORDER BY id) - 1, id FROM executions
    """,
    f"""
        CREATE VIEW searched_texts AS
        SELECT number, {_text("executions")} AS text FROM execution_numbers JOIN executions ON id = execution_id
    """,
    """
        CREATE VIRTUAL TABLE execution_texts USING fts5(
            text, content='searched_texts', content_rowid='number',
            tokenize='unicode61 remove_diacritics 0', columnsize=0
        )
    """,
    "INSERT INTO execution_texts (rowid, text) SELECT number, text FROM searched_texts",
    f"""
        CREATE TRIGGER executions_text_added AFTER INSERT ON executions
        BEGIN {_number()}; {_add()}; END
    """,
    f"""
        CREATE TRIGGER executions_text_changed AFTER UPDATE OF message, output, error ON executions
        WHEN {_text("old")} <> {_text("new")} BEGIN {_forget()}; {_add()}; END
    """,
    f"""
        CREATE TRIGGER executions_text_removed AFTER DELETE ON executions
        BEGIN {_forget()}; DELETE FROM execution_numbers WHERE {_is_number_of("old")}; END
    """,
)
