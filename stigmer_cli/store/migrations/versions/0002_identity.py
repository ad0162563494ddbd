"""Stores, and the servers that have one open, get identities; workflows carry the name of their store."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from ulid import ULID

from stigmer_cli.store.columns import Moment, Words

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_LEGACY = sa.text("store_id IS NULL AND phase IN ('PENDING', 'IN_PROGRESS')")


def upgrade() -> None:
    """Add the column, the table, and an id of the new form in place of one of the old form.

    Rows that are there keep no store: their workflows go on under the names that they have.
    """
    op.add_column("executions", sa.Column("store_id", Words))
    op.create_index("ix_executions_legacy", "executions", ["id"], sqlite_where=_LEGACY, postgresql_where=_LEGACY)
    op.create_table(
        "servers",
        sa.Column("id", Words, primary_key=True),
        sa.Column("version", Words, nullable=False),
        sa.Column("host", Words, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("address", Words, nullable=False),
        sa.Column("world", Words),
        sa.Column("world_since", Moment),
        sa.Column("seen_at", Moment, nullable=False),
    )
    meta = sa.table("meta", sa.column("key"), sa.column("value"))
    op.execute(sa.update(meta).where(meta.c.key == "store_id").values(value=f"str-{ULID()}".lower()))
