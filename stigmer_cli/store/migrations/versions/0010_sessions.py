"""Executions may belong to a session, in which each sees what was asked and answered before it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document, Moment, Words

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_IN_SESSION = sa.text("session IS NOT NULL")
_OPEN = sa.text("session IS NOT NULL AND phase IN ('PENDING', 'IN_PROGRESS')")


def upgrade() -> None:
    """Add the columns with their indexes, and the table of sessions."""
    op.add_column("executions", sa.Column("session", Words))
    op.add_column("executions", sa.Column("session_seq", sa.Integer))
    op.add_column("executions", sa.Column("conversation", Document))
    for name, where, is_unique in (
        ("ux_executions_session", _IN_SESSION, True),
        ("ix_executions_session_open", _OPEN, False),
    ):
        op.create_index(
            name,
            "executions",
            ["session", "session_seq"],
            unique=is_unique,
            sqlite_where=where,
            postgresql_where=where,
        )
    op.create_table(
        "sessions",
        sa.Column("name", Words, primary_key=True),
        sa.Column("agent_name", Words, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("last_seq", sa.Integer, nullable=False),
    )
    op.create_index("ix_sessions_updated", "sessions", ["updated_at", "name"])
