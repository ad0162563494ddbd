"""The text of messages is kept in events only, no longer in a table of pieces beside them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Each piece had the number of the event that holds the same text.
_ANSWERS = """
    UPDATE executions SET answer_seq = COALESCE(
        (SELECT min(seq) - 1 FROM message_pieces WHERE execution_id = executions.id AND epoch = executions.epoch),
        CASE WHEN claimed_attempt > 0 THEN event_seq END
    )
"""


def upgrade() -> None:
    """Note where the messages of each execution begin among its events, and drop the table."""
    op.add_column("executions", sa.Column("answer_seq", sa.Integer))
    op.execute(sa.text(_ANSWERS))
    op.drop_table("message_pieces")
