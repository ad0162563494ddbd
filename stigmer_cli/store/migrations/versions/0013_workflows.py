"""Workflows: their definitions, what their executions have more, and how far their tasks are."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document, Moment, Words

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the tables and the columns."""
    op.create_table(
        "workflows",
        sa.Column("id", Words, primary_key=True),
        sa.Column("namespace", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("version", Words, nullable=False),
        sa.Column("labels", Document, nullable=False),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("version_id", Words, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
    )
    op.create_index("ux_workflows_name", "workflows", ["name", "namespace"], unique=True)
    op.create_table(
        "workflow_versions",
        sa.Column("id", Words, primary_key=True),
        sa.Column("workflow_id", Words, nullable=False),
        sa.Column("document", Words, nullable=False),
    )
    op.add_column("executions", sa.Column("error_fields", Words))
    op.add_column("executions", sa.Column("began_ms", sa.BigInteger))
    op.add_column("executions", sa.Column("began_version", Words))
    op.create_table(
        "tasks",
        sa.Column("execution_id", Words, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("phase", Words, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("completed_at", Moment),
        sa.Column("error", Words),
        sa.PrimaryKeyConstraint("execution_id", "seq", name="pk_tasks"),
    )
    op.create_index("ux_tasks_key", "tasks", ["execution_id", "key"], unique=True)
