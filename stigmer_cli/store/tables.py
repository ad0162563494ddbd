"""The tables as they are now; the migrations lead to exactly this, and a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    TextClause,
    text,
)

from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect, StepState
from stigmer_cli.store.columns import Document, Moment, Words

metadata = MetaData()


def _quoted(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


# The migrations make these indexes partial on PostgreSQL, too. If that were said here, SQLAlchemy would load all of its
# dialects for PostgreSQL at each start, which takes a twentieth of the server's imports.
# Written out, not bound: SQLite uses a partial index only for a query that repeats its condition word for word.
QUEUED: TextClause = text(f"phase = '{Phase.PENDING}' AND submitted_at IS NULL AND attention_code IS NULL")
OPEN: TextClause = text(f"phase IN ({_quoted(tuple(p for p in Phase if not p.is_terminal))})")
CANCEL_REQUESTED: TextClause = text(f"cancel_requested_at IS NOT NULL AND {OPEN.text}")
NEEDS_ATTENTION: TextClause = text("attention_code IS NOT NULL")
WAITING: TextClause = text("waiting_for IS NOT NULL")
WAKES: TextClause = text("waiting_until IS NOT NULL")
LEGACY: TextClause = text(f"store_id IS NULL AND {OPEN.text}")
HAS_PARENT: TextClause = text(f"parent IS NOT NULL AND {OPEN.text}")
IN_SESSION: TextClause = text("session IS NOT NULL")
OPEN_IN_SESSION: TextClause = text(f"{IN_SESSION.text} AND {OPEN.text}")
IN_THE_AIR: TextClause = text(
    f"(state = '{StepState.UNKNOWN}' OR (state = '{StepState.BEGUN}' AND effect = '{Effect.ONCE}'))"
)

meta = Table(
    "meta",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
)

# The servers that have this store open. Times are the database's own, so that no two clocks are compared.
servers = Table(
    "servers",
    metadata,
    Column("id", Words, primary_key=True),
    Column("version", Words, nullable=False),
    Column("host", Words, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("address", Words, nullable=False),
    # Cluster and namespace id of the Temporal that it is connected to; NULL while it is not.
    Column("world", Words),
    Column("world_since", Moment),
    Column("seen_at", Moment, nullable=False),
)

# Encrypted; the key is in a file of each server, and `key_id` says which one it is.
secrets = Table(
    "secrets",
    metadata,
    Column("name", Words, primary_key=True),
    Column("sealed", Words, nullable=False),
    Column("key_id", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Words, primary_key=True),
    Column("slug", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("labels", Document, nullable=False),
    Column("annotations", Document, nullable=False),
    Column("description", Words, nullable=False),
    Column("instructions", Words, nullable=False),
    Column("model", Words, nullable=False),
    # What only an agent with tools has; NULL for any other one.
    Column("document", Document),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ux_agents_slug", "slug", unique=True),
)

# Definitions that executions began with, so that these go on with them. Only those of agents with tools are kept.
agent_versions = Table(
    "agent_versions",
    metadata,
    # A hash of the rest.
    Column("id", Words, primary_key=True),
    Column("agent_id", Words, nullable=False),
    Column("instructions", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("document", Document, nullable=False),
)

# Documents of workflows as they were applied last, one for each name in a namespace.
workflows = Table(
    "workflows",
    metadata,
    Column("id", Words, primary_key=True),
    Column("namespace", Words, nullable=False),
    Column("name", Words, nullable=False),
    # What the document says; two documents may say the same.
    Column("version", Words, nullable=False),
    Column("labels", Document, nullable=False),
    Column("annotations", Document, nullable=False),
    Column("version_id", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ux_workflows_name", "name", "namespace", unique=True),
)

# Each document that was ever applied: an execution goes on with the one that it was accepted with.
workflow_versions = Table(
    "workflow_versions",
    metadata,
    # A hash of the rest.
    Column("id", Words, primary_key=True),
    Column("workflow_id", Words, nullable=False),
    # JSON text, with its keys in the order in which they were written.
    Column("document", Words, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    Column("id", Words, primary_key=True),
    # Whose names the workflow of this epoch carries; NULL: those from before stores had ids.
    Column("store_id", Words),
    Column("kind", Words, nullable=False),
    # Of its agent or its workflow. No foreign key: an execution outlives both.
    Column("agent_id", Words, nullable=False),
    Column("agent_name", Words, nullable=False),
    # The definition that it began with; NULL before it began, and for agents without tools. Of a workflow: the one that
    # it was accepted with.
    Column("agent_version", Words),
    # Of a workflow: its input, as JSON text.
    Column("message", Words, nullable=False),
    # The session that it is an execution of, if any, and its place in the order of that.
    Column("session", Words),
    Column("session_seq", Integer),
    # The executions whose questions and answers it sees, by id; NULL before it began, and where it sees none.
    Column("conversation", Document),
    # What was asked before its message, in a fork that goes on with another one: see follow_ups.py.
    Column("follow_up", Document),
    Column("timeout_s", Double),
    Column("labels", Document, nullable=False),
    Column("phase", Words, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    # The seq of the row's last event: the row's own lock is what keeps the numbers free of gaps.
    Column("event_seq", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("completed_at", Moment),
    # What it waits for: PENDING, to get to a run; IN_PROGRESS, its model, and `attempts` counts the tries that failed.
    Column("queue_reason", Words, nullable=False),
    Column("queue_detail", Words, nullable=False),
    Column("queued_since", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", Moment),
    Column("submitted_at", Moment),
    Column("run_id", Words),
    # Which Temporal took it (cluster and namespace), so that another one behind the same address is told apart.
    Column("world", Words),
    Column("claimed_run", Words),
    Column("claimed_by", Words),
    Column("claimed_attempt", Integer, nullable=False),
    # The event after which the messages of the present attempt follow; NULL before the first attempt of an epoch.
    Column("answer_seq", Integer),
    Column("cancel_requested_at", Moment),
    Column("attention_code", Words),
    Column("attention_reason", Words),
    Column("attention_since", Moment),
    # What it waits for while no run holds it (`domain/waiting.py`); NULL: it does not.
    Column("waiting_for", Words),
    Column("waiting_step", Words),
    Column("waiting_since", Moment),
    Column("waiting_until", Moment),
    Column("waiting_cause", Words),
    # Of a workflow: JSON text.
    Column("output", Words),
    Column("error", Words),
    # Of a workflow: the error as the specification describes it, as JSON text.
    Column("error_fields", Words),
    # Of a workflow: when it first began, in milliseconds since 1970, and with which version of Stigmer.
    Column("began_ms", BigInteger),
    Column("began_version", Words),
    # How often calls were made anew on a person's word, and those which were not; NULL: never.
    Column("call_generations", Document),
    # What models used, summed over attempts, and the last attempt that is in the sum.
    Column("usage", Document),
    Column("idempotency_key", Words),
    Column("request_hash", Words, nullable=False),
    # The execution of a workflow that waits for its end; NULL: none does.
    Column("parent", Words),
    CheckConstraint(f"phase IN ({_quoted(tuple(Phase))})", name="ck_executions_phase"),
    CheckConstraint(f"kind IN ({_quoted(tuple(Kind))})", name="ck_executions_kind"),
    CheckConstraint("phase <> 'PENDING' OR claimed_run IS NULL", name="ck_executions_pending_is_unclaimed"),
    CheckConstraint("phase <> 'IN_PROGRESS' OR claimed_run IS NOT NULL", name="ck_executions_in_progress_is_claimed"),
    Index("ux_executions_idempotency_key", "idempotency_key", unique=True),
    Index("ix_executions_created", "created_at", "id"),
    Index("ix_executions_phase", "phase", "created_at", "id"),
    Index("ix_executions_agent", "agent_id", "phase", "created_at", "id"),
    Index("ix_executions_queue", "created_at", "id", "next_try_at", sqlite_where=QUEUED),
    Index("ix_executions_next_try", "next_try_at", sqlite_where=QUEUED),
    Index("ix_executions_open", "id", sqlite_where=OPEN),
    Index("ix_executions_legacy", "id", sqlite_where=LEGACY),
    Index(
        "ux_executions_session",
        "session",
        "session_seq",
        unique=True,
        sqlite_where=IN_SESSION,
    ),
    Index(
        "ix_executions_session_open",
        "session",
        "session_seq",
        sqlite_where=OPEN_IN_SESSION,
    ),
    Index(
        "ix_executions_cancel",
        "cancel_requested_at",
        "id",
        sqlite_where=CANCEL_REQUESTED,
    ),
    Index(
        "ix_executions_attention",
        "created_at",
        "id",
        sqlite_where=NEEDS_ATTENTION,
    ),
    Index("ix_executions_waiting", "created_at", "id", sqlite_where=WAITING),
    Index("ix_executions_wakes", "waiting_until", "id", sqlite_where=WAKES),
    Index("ix_executions_parent", "parent", "id", sqlite_where=HAS_PARENT),
)

# Conversations with an agent, by name; `last_seq` is the place of the last execution in one.
sessions = Table(
    "sessions",
    metadata,
    Column("name", Words, primary_key=True),
    Column("agent_name", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Index("ix_sessions_updated", "updated_at", "name"),
)

# What `--label` looks into: `key` and `key=value` of each label, each with the executions that have it in order of age.
execution_labels = Table(
    "execution_labels",
    metadata,
    Column("label", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("execution_id", Words, nullable=False),
    PrimaryKeyConstraint("label", "created_at", "execution_id", name="pk_execution_labels"),
    sqlite_with_rowid=False,
)

# Kept by triggers, see execution_counts.py; the sum over `writer` is how many there are.
execution_counts = Table(
    "execution_counts",
    metadata,
    Column("agent_id", Words, nullable=False),
    Column("phase", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("writer", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("agent_id", "phase", "kind", "writer", name="pk_execution_counts"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("execution_id", Words, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("type", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("data", Document, nullable=False),
    PrimaryKeyConstraint("execution_id", "seq", name="pk_events"),
)

# The journals of executions (`domain/step.py`), without contents, so that a listing never reads these.
steps = Table(
    "steps",
    metadata,
    Column("execution_id", Words, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("key", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("effect", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("completed_at", Moment),
    Column("error", Words),
    Column("usage", Document),
    # Who began it last, and by which of its calls: another call of the same attempt does not know what this one did.
    Column("epoch", Integer, nullable=False),
    Column("run", Words, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("runner", Words, nullable=False),
    Column("nonce", Words, nullable=False),
    Column("input_hash", Words, nullable=False),
    Column("result_bytes", Integer, nullable=False),
    # Its result is the output of the execution, which is not written a second time.
    Column("is_outcome", Boolean, nullable=False),
    PrimaryKeyConstraint("execution_id", "seq", name="pk_steps"),
    Index("ux_steps_key", "execution_id", "key", unique=True),
    Index("ix_steps_in_the_air", "execution_id", "seq", sqlite_where=IN_THE_AIR),
)

# JSON texts: the `input` and the `result` of a step.
step_contents = Table(
    "step_contents",
    metadata,
    Column("execution_id", Words, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("part", Words, nullable=False),
    Column("text", Words, nullable=False),
    PrimaryKeyConstraint("execution_id", "seq", "part", name="pk_step_contents"),
)

# How far the tasks of a workflow are, as its runs report it, in the order in which they began.
tasks = Table(
    "tasks",
    metadata,
    Column("execution_id", Words, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("key", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("phase", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("completed_at", Moment),
    Column("error", Words),
    PrimaryKeyConstraint("execution_id", "seq", name="pk_tasks"),
    Index("ux_tasks_key", "execution_id", "key", unique=True),
)

# Calls that wait for a person's decision, and what was decided, in the order in which a model asks for them.
decisions = Table(
    "decisions",
    metadata,
    Column("execution_id", Words, nullable=False),
    # The key of the step that the call is, or is to become.
    Column("step", Words, nullable=False),
    Column("place", Integer, nullable=False),
    Column("tool", Words, nullable=False),
    Column("arguments_hash", Words, nullable=False),
    # As the model gave them; NULL where they are too long to be shown.
    Column("arguments", Words),
    Column("asked_at", Moment, nullable=False),
    # NULL: not decided yet.
    Column("verdict", Words),
    Column("reason", Words),
    # Those that a person put in their place.
    Column("new_arguments", Words),
    Column("decided_at", Moment),
    PrimaryKeyConstraint("execution_id", "step", name="pk_decisions"),
)
