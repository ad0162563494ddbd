"""Executions may wait, and hold no run meanwhile; what persons decide about calls of tools is kept."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Moment, Words

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_WAITING = sa.text("waiting_for IS NOT NULL")
_WAKES = sa.text("waiting_until IS NOT NULL")


def upgrade() -> None:
    """Add the columns with their indexes, and the table of decisions."""
    op.add_column("executions", sa.Column("waiting_for", Words))
    op.add_column("executions", sa.Column("waiting_step", Words))
    op.add_column("executions", sa.Column("waiting_since", Moment))
    op.add_column("executions", sa.Column("waiting_until", Moment))
    op.add_column("executions", sa.Column("waiting_cause", Words))
    op.create_index(
        "ix_executions_waiting", "executions", ["created_at", "id"], sqlite_where=_WAITING, postgresql_where=_WAITING
    )
    op.create_index(
        "ix_executions_wakes", "executions", ["waiting_until", "id"], sqlite_where=_WAKES, postgresql_where=_WAKES
    )
    op.create_table(
        "decisions",
        sa.Column("execution_id", Words, nullable=False),
        sa.Column("step", Words, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("tool", Words, nullable=False),
        sa.Column("arguments_hash", Words, nullable=False),
        sa.Column("arguments", Words),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("verdict", Words),
        sa.Column("reason", Words),
        sa.Column("new_arguments", Words),
        sa.Column("decided_at", Moment),
        sa.PrimaryKeyConstraint("execution_id", "step", name="pk_decisions"),
    )
