"""Workflows may run by themselves."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document, Moment, Words

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "schedules",
        sa.Column("workflow_id", Words, nullable=False),
        sa.Column("trigger", Words, nullable=False),
        sa.Column("spec", Document, nullable=False),
        sa.Column("anchor_at", Moment, nullable=False),
        sa.Column("is_paused", sa.Boolean, nullable=False),
        sa.Column("next_at", Moment),
        sa.Column("last_at", Moment),
        sa.Column("last_execution", Words),
        sa.Column("missed", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", "trigger", name="pk_schedules"),
    )
    op.create_index("ix_schedules_next", "schedules", ["next_at"])
