"""An execution may wait for another one, which names it as its parent."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Words

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

HAS_PARENT = "parent IS NOT NULL AND phase IN ('PENDING', 'IN_PROGRESS')"


def upgrade() -> None:
    """Add the column, and the index by which open children of a parent are found."""
    op.add_column("executions", sa.Column("parent", Words))
    where = sa.text(HAS_PARENT)
    op.create_index("ix_executions_parent", "executions", ["parent", "id"], sqlite_where=where, postgresql_where=where)
