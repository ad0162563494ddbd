"""Executions get journals: their steps, and what these took and gave."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document, Moment, Words

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_IN_THE_AIR = sa.text("(state = 'UNKNOWN' OR (state = 'BEGUN' AND effect = 'once'))")


def upgrade() -> None:
    """Add the tables; an execution that is there already has a journal without steps."""
    op.create_table(
        "steps",
        sa.Column("execution_id", Words, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("effect", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("completed_at", Moment),
        sa.Column("error", Words),
        sa.Column("usage", Document),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("run", Words, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("runner", Words, nullable=False),
        sa.Column("nonce", Words, nullable=False),
        sa.Column("input_hash", Words, nullable=False),
        sa.Column("result_bytes", sa.Integer, nullable=False),
        sa.Column("is_outcome", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "seq", name="pk_steps"),
    )
    op.create_index("ux_steps_key", "steps", ["execution_id", "key"], unique=True)
    op.create_index(
        "ix_steps_in_the_air",
        "steps",
        ["execution_id", "seq"],
        sqlite_where=_IN_THE_AIR,
        postgresql_where=_IN_THE_AIR,
    )
    op.create_table(
        "step_contents",
        sa.Column("execution_id", Words, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("part", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "seq", "part", name="pk_step_contents"),
    )
