"""How many executions there are, by agent and phase, is kept as they change, and no longer counted row by row."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Words

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Count once, have triggers keep the counts, and drop the index that was for counting."""
    op.create_table(
        "execution_counts",
        sa.Column("agent_id", Words, nullable=False),
        sa.Column("phase", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("writer", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "phase", "kind", "writer", name="pk_execution_counts"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    # PostgreSQL: to create a trigger locks out writers until the end, so that the count after it is exact.
    for statement in _SQLITE if is_sqlite else _POSTGRESQL:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(
        "INSERT INTO execution_counts SELECT agent_id, phase, kind, 0, count(*) FROM executions "
        "GROUP BY agent_id, phase, kind"
    )
    op.drop_index("ix_executions_kind", "executions")


_INTO = "INSERT INTO execution_counts (agent_id, phase, kind, writer, number)"
_ADD = "ON CONFLICT (agent_id, phase, kind, writer) DO UPDATE SET number = execution_counts.number + excluded.number"


def _count(row: str, by: int) -> str:
    return f"{_INTO} VALUES ({row}.agent_id, {row}.phase, {row}.kind, 0, {by}) {_ADD}"


_SQLITE = (
    f"CREATE TRIGGER executions_counted_added AFTER INSERT ON executions BEGIN {_count('new', 1)}; END",
    f"""
        CREATE TRIGGER executions_counted_moved AFTER UPDATE OF agent_id, phase, kind ON executions
        WHEN old.phase <> new.phase OR old.agent_id <> new.agent_id OR old.kind <> new.kind
        BEGIN {_count("old", -1)}; {_count("new", 1)}; END
    """,
    f"CREATE TRIGGER executions_counted_removed AFTER DELETE ON executions BEGIN {_count('old', -1)}; END",
)


def _function(name: str, changes: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ "
        f"BEGIN {_INTO} {changes} {_ADD}; RETURN NULL; END $$"
    )


def _changed(by: str) -> str:
    return f"SELECT agent_id, phase, kind, pg_backend_pid(), {by} FROM changed GROUP BY agent_id, phase, kind"


# A connection has counts of its own, so that no two wait for each other; how many there are is their sum.
_POSTGRESQL = (
    "SET LOCAL statement_timeout = 0",
    _function("count_executions_added", _changed("count(*)")),
    _function("count_executions_removed", _changed("-count(*)")),
    _function(
        "count_executions_moved",
        "VALUES (old.agent_id, old.phase, old.kind, pg_backend_pid(), -1), "
        "(new.agent_id, new.phase, new.kind, pg_backend_pid(), 1)",
    ),
    """
        CREATE TRIGGER executions_counted_added AFTER INSERT ON executions REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION count_executions_added()
    """,
    """
        CREATE TRIGGER executions_counted_removed AFTER DELETE ON executions REFERENCING OLD TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION count_executions_removed()
    """,
    """
        CREATE TRIGGER executions_counted_moved AFTER UPDATE OF agent_id, phase, kind ON executions
        FOR EACH ROW
        WHEN (old.phase <> new.phase OR old.agent_id <> new.agent_id OR old.kind <> new.kind)
        EXECUTE FUNCTION count_executions_moved()
    """,
)
