"""Calls that are made anew on purpose have other idempotency keys than before."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the column; where it is NULL, keys are what they were."""
    op.add_column("executions", sa.Column("call_generations", Document))
