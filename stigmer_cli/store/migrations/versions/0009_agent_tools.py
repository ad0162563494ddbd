"""Agents may have tools, and an execution of such an agent goes on with the definition that it began with."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document, Words

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the columns, and the table of definitions."""
    op.add_column("agents", sa.Column("document", Document))
    op.add_column("executions", sa.Column("agent_version", Words))
    op.create_table(
        "agent_versions",
        sa.Column("id", Words, primary_key=True),
        sa.Column("agent_id", Words, nullable=False),
        sa.Column("instructions", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("document", Document, nullable=False),
    )
