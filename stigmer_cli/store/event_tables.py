"""The tables of events, of who listens for them, and of schedules, as they are now: a part of `tables.py`."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table

from stigmer_cli.store.columns import Document, Moment, Words
from stigmer_cli.store.tables import metadata

# Events from outside and from workflows (CloudEvents), in the order of `seq`, in which they came in.
cloud_events = Table(
    "cloud_events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    # A hash of source and id.
    Column("identity", Words, nullable=False),
    Column("type", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("received_at", Moment, nullable=False),
    # JSON text.
    Column("event", Words, nullable=False),
    Index("ux_cloud_events_identity", "identity", unique=True),
    Index("ix_cloud_events_type", "type", "seq"),
    Index("ix_cloud_events_received", "received_at", "seq"),
)

# One row: the number of the last event, and the bytes of those that are kept. Its lock is what keeps events in order.
event_counter = Table(
    "event_counter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

# By what an event finds the executions that listen for it, see listeners.py.
listeners = Table(
    "listeners",
    metadata,
    Column("execution_id", Words, nullable=False),
    Column("place", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    # Empty: any.
    Column("type", Words, nullable=False),
    Column("source", Words),
    Column("subject", Words),
    Column("places", Words, nullable=False),
    Column("texts_hash", Words, nullable=False),
    PrimaryKeyConstraint("execution_id", "place", name="pk_listeners"),
    Index("ix_listeners_type", "type", "places", "texts_hash"),
)

# What has workflows run by themselves: each trigger of each, see schedules.py. `next_at` is NULL where no time is set.
schedules = Table(
    "schedules",
    metadata,
    Column("workflow_id", Words, nullable=False),
    Column("trigger", Words, nullable=False),
    Column("spec", Document, nullable=False),
    # What intervals are counted from.
    Column("anchor_at", Moment, nullable=False),
    Column("is_paused", Boolean, nullable=False),
    Column("next_at", Moment),
    Column("last_at", Moment),
    Column("last_execution", Words),
    Column("missed", Integer, nullable=False),
    PrimaryKeyConstraint("workflow_id", "trigger", name="pk_schedules"),
    Index("ix_schedules_next", "next_at"),
)
