"""Events come in, and find the executions that listen for them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Moment, Words

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the tables of events and of listeners, and the counter, whose only row the first event brings."""
    op.create_table(
        "event_counter",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cloud_events",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("identity", Words, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("source", Words, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("received_at", Moment, nullable=False),
        sa.Column("event", Words, nullable=False),
    )
    op.create_index("ux_cloud_events_identity", "cloud_events", ["identity"], unique=True)
    op.create_index("ix_cloud_events_type", "cloud_events", ["type", "seq"])
    op.create_index("ix_cloud_events_received", "cloud_events", ["received_at", "seq"])
    op.create_table(
        "listeners",
        sa.Column("execution_id", Words, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("source", Words),
        sa.Column("subject", Words),
        sa.Column("places", Words, nullable=False),
        sa.Column("texts_hash", Words, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "place", name="pk_listeners"),
    )
    op.create_index("ix_listeners_type", "listeners", ["type", "places", "texts_hash"])
