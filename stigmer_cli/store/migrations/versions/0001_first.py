"""Agents, executions, their events and messages, and what a store knows about itself."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stigmer_cli.store.columns import Document, Moment, Words

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Written out here, not taken from tables.py: a migration says what was true when it was made.
_QUEUED = sa.text("phase = 'PENDING' AND submitted_at IS NULL AND attention_code IS NULL")
_OPEN = sa.text("phase IN ('PENDING', 'IN_PROGRESS')")
_CANCEL = sa.text("cancel_requested_at IS NOT NULL AND phase IN ('PENDING', 'IN_PROGRESS')")
_ATTENTION = sa.text("attention_code IS NOT NULL")


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "meta",
        sa.Column("key", Words, primary_key=True),
        sa.Column("value", Words, nullable=False),
    )
    _create_agents()
    _create_executions()
    _create_indexes()
    _create_timelines()


def _create_agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", Words, primary_key=True),
        sa.Column("slug", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("labels", Document, nullable=False),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("description", Words, nullable=False),
        sa.Column("instructions", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
    )
    op.create_index("ux_agents_slug", "agents", ["slug"], unique=True)


def _create_executions() -> None:
    op.create_table(
        "executions",
        sa.Column("id", Words, primary_key=True),
        sa.Column("kind", Words, nullable=False),
        sa.Column("agent_id", Words, nullable=False),
        sa.Column("agent_name", Words, nullable=False),
        sa.Column("message", Words, nullable=False),
        sa.Column("timeout_s", sa.Double),
        sa.Column("labels", Document, nullable=False),
        sa.Column("phase", Words, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("event_seq", sa.Integer, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("started_at", Moment),
        sa.Column("completed_at", Moment),
        sa.Column("queue_reason", Words, nullable=False),
        sa.Column("queue_detail", Words, nullable=False),
        sa.Column("queued_since", Moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_try_at", Moment),
        sa.Column("submitted_at", Moment),
        sa.Column("run_id", Words),
        sa.Column("world", Words),
        sa.Column("claimed_run", Words),
        sa.Column("claimed_by", Words),
        sa.Column("claimed_attempt", sa.Integer, nullable=False),
        sa.Column("cancel_requested_at", Moment),
        sa.Column("attention_code", Words),
        sa.Column("attention_reason", Words),
        sa.Column("attention_since", Moment),
        sa.Column("output", Words),
        sa.Column("error", Words),
        sa.Column("idempotency_key", Words),
        sa.Column("request_hash", Words, nullable=False),
        *_execution_checks(),
    )


def _execution_checks() -> tuple[sa.CheckConstraint, ...]:
    return (
        sa.CheckConstraint(
            "phase IN ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED')", name="ck_executions_phase"
        ),
        sa.CheckConstraint("kind IN ('agent', 'workflow')", name="ck_executions_kind"),
        sa.CheckConstraint("phase <> 'PENDING' OR claimed_run IS NULL", name="ck_executions_pending_is_unclaimed"),
        sa.CheckConstraint(
            "phase <> 'IN_PROGRESS' OR claimed_run IS NOT NULL", name="ck_executions_in_progress_is_claimed"
        ),
    )


def _create_indexes() -> None:
    op.create_index("ux_executions_idempotency_key", "executions", ["idempotency_key"], unique=True)
    op.create_index("ix_executions_created", "executions", ["created_at", "id"])
    op.create_index("ix_executions_phase", "executions", ["phase", "created_at", "id"])
    op.create_index("ix_executions_agent", "executions", ["agent_id", "phase", "created_at", "id"])
    op.create_index("ix_executions_kind", "executions", ["phase", "kind"])
    for name, columns, where in (
        ("ix_executions_queue", ["created_at", "id", "next_try_at"], _QUEUED),
        ("ix_executions_next_try", ["next_try_at"], _QUEUED),
        ("ix_executions_open", ["id"], _OPEN),
        ("ix_executions_cancel", ["cancel_requested_at", "id"], _CANCEL),
        ("ix_executions_attention", ["created_at", "id"], _ATTENTION),
    ):
        op.create_index(name, "executions", columns, sqlite_where=where, postgresql_where=where)


def _create_timelines() -> None:
    op.create_table(
        "events",
        sa.Column("execution_id", Words, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("data", Document, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "seq", name="pk_events"),
    )
    op.create_table(
        "message_pieces",
        sa.Column("execution_id", Words, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("idx", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("role", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "epoch", "idx", "seq", name="pk_message_pieces"),
    )
