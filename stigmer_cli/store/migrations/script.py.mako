"""${message}."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document, Moment, Words

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """What changes."""
    ${upgrades if upgrades else "pass"}
