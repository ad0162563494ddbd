"""What tests of the store are made of: a clock moved by hand, drafts, and executions brought to a stage."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from ulid import ULID

from stigmer_cli.domain.execution import AgentSpec, Execution, Outcome, QueueReason
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.store import Store
from tests.support.fakes import ManualClock
from tests.support.ids import claim
from tests.support.moves import mark_submitted

START = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
RUN = RunId("run-1")
OTHER_RUN = RunId("run-2")
AGENT = AgentId("agt-00000000000000000000000000")

WITHOUT_WORKFLOWS: Sequence[str] = (
    "ALTER TABLE executions DROP COLUMN call_generations",
    "DROP INDEX ix_executions_parent",
    "ALTER TABLE executions DROP COLUMN parent",
    "DROP TABLE cloud_events",
    "DROP TABLE event_counter",
    "DROP TABLE listeners",
    "DROP TABLE schedules",
    "DROP TABLE workflows",
    "DROP TABLE workflow_versions",
    "DROP TABLE tasks",
    "ALTER TABLE executions DROP COLUMN error_fields",
    "ALTER TABLE executions DROP COLUMN began_ms",
    "ALTER TABLE executions DROP COLUMN began_version",
)
"""What takes the newest schema back to the one that knew no workflows."""

WITHOUT_WAITS: Sequence[str] = (
    *WITHOUT_WORKFLOWS,
    "ALTER TABLE executions DROP COLUMN follow_up",
    "DROP TABLE decisions",
    "DROP INDEX ix_executions_waiting",
    "DROP INDEX ix_executions_wakes",
    "ALTER TABLE executions DROP COLUMN waiting_for",
    "ALTER TABLE executions DROP COLUMN waiting_step",
    "ALTER TABLE executions DROP COLUMN waiting_since",
    "ALTER TABLE executions DROP COLUMN waiting_until",
    "ALTER TABLE executions DROP COLUMN waiting_cause",
)
"""What takes the newest schema back to the one that knew no waiting."""

WITHOUT_SESSIONS: Sequence[str] = (
    *WITHOUT_WAITS,
    "DROP TABLE sessions",
    "DROP INDEX ux_executions_session",
    "DROP INDEX ix_executions_session_open",
    "ALTER TABLE executions DROP COLUMN session",
    "ALTER TABLE executions DROP COLUMN session_seq",
    "ALTER TABLE executions DROP COLUMN conversation",
)
"""What takes the newest schema back to the one without sessions."""

WITHOUT_TOOLS: Sequence[str] = (
    *WITHOUT_SESSIONS,
    "DROP TABLE agent_versions",
    "ALTER TABLE executions DROP COLUMN agent_version",
    "ALTER TABLE agents DROP COLUMN document",
)
"""What takes the newest schema back to the one whose agents had no tools."""

WITHOUT_COUNTS: Mapping[str, Sequence[str]] = {
    "sqlite": (
        *WITHOUT_TOOLS,
        "DROP TABLE secrets",
        "DROP TABLE step_contents",
        "DROP TABLE steps",
        "DROP TRIGGER executions_counted_added",
        "DROP TRIGGER executions_counted_moved",
        "DROP TRIGGER executions_counted_removed",
        "DROP TABLE execution_counts",
        "CREATE INDEX ix_executions_kind ON executions (phase, kind)",
        "UPDATE alembic_version SET version_num = '0005'",
    ),
    "postgresql": (
        *WITHOUT_TOOLS,
        "DROP TABLE secrets",
        "DROP TABLE step_contents",
        "DROP TABLE steps",
        "DROP FUNCTION count_executions_added() CASCADE",
        "DROP FUNCTION count_executions_moved() CASCADE",
        "DROP FUNCTION count_executions_removed() CASCADE",
        "DROP TABLE execution_counts",
        "CREATE INDEX ix_executions_kind ON executions (phase, kind)",
        "UPDATE alembic_version SET version_num = '0005'",
    ),
}
"""What takes the newest schema back to the one that did not keep how many executions there are of each phase."""

WITH_PIECES: Sequence[str] = (
    (
        "CREATE TABLE message_pieces ("
        "execution_id TEXT NOT NULL, epoch INTEGER NOT NULL, idx INTEGER NOT NULL, seq INTEGER NOT NULL, "
        "start INTEGER NOT NULL, size INTEGER NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, "
        "CONSTRAINT pk_message_pieces PRIMARY KEY (execution_id, epoch, idx, seq))"
    ),
    "ALTER TABLE executions DROP COLUMN answer_seq",
    "UPDATE alembic_version SET version_num = '0004'",
)
"""What takes that schema back to the one that had the text of messages in a table of pieces, too."""

WITHOUT_SEARCH: Mapping[str, Sequence[str]] = {
    "sqlite": (
        *WITHOUT_COUNTS["sqlite"],
        *WITH_PIECES,
        "DROP TRIGGER executions_text_added",
        "DROP TRIGGER executions_text_changed",
        "DROP TRIGGER executions_text_removed",
        "DROP TABLE execution_texts",
        "DROP VIEW searched_texts",
        "DROP TABLE execution_numbers",
        "DROP TABLE execution_labels",
        "UPDATE alembic_version SET version_num = '0003'",
    ),
    "postgresql": (
        *WITHOUT_COUNTS["postgresql"],
        *WITH_PIECES,
        "DROP INDEX ix_executions_search",
        "DROP TABLE execution_labels",
        "UPDATE alembic_version SET version_num = '0003'",
    ),
}
"""What takes a store back to before executions could be searched."""


class RealSleepClock(ManualClock):
    """A manual clock whose sleepers really sleep: the store waits for other processes."""

    def __init__(self) -> None:
        super().__init__(START)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class Stage(StrEnum):
    """A stage in the life of an execution that tests start from."""

    QUEUED = "queued"
    GIVEN_UP = "given up"
    SUBMITTED = "submitted"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def agent_draft(slug: str, *, number: int = 0, description: str = "") -> AgentDraft:
    return AgentDraft(
        id=AgentId(f"agt-{number:026d}"), name=slug.title(), slug=slug, spec=AgentSpec(description=description)
    )


def new_id() -> ExecutionId:
    return ExecutionId(f"aex-{str(ULID()).lower()}")


def draft(
    *,
    key: str | None = None,
    request: str = "hash",
    message: str = "hello",
    labels: Mapping[str, str] | None = None,
) -> ExecutionDraft:
    return ExecutionDraft(
        id=new_id(),
        kind=Kind.AGENT,
        agent_id=AGENT,
        agent_name="Writer",
        message=message,
        labels=labels or {},
        idempotency_key=key,
        request_hash=request,
    )


async def accepted(store: Store) -> ExecutionId:
    """An execution that has just been accepted."""
    taken = await store.executions.accept(draft(), reason=QueueReason.ACCEPTED, detail="")
    return taken.execution.id


async def submitted(store: Store) -> ExecutionId:
    """An execution that Temporal took as RUN."""
    id_ = await accepted(store)
    assert await mark_submitted(store, id_, epoch=1, run_id=RUN, cluster="w", already=False)
    return id_


async def running(store: Store) -> ExecutionId:
    """An execution whose first attempt has begun."""
    id_ = await submitted(store)
    await claim(store, id_, epoch=1, run=RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=1, runner="mill")
    return id_


async def _given_up(store: Store) -> ExecutionId:
    id_ = await accepted(store)
    await store.executions.mark_submit_failed(id_, epoch=1, detail="no", next_try_at=START, attempts_max=1)
    return id_


async def _cancelled(store: Store) -> ExecutionId:
    id_ = await accepted(store)
    await store.executions.request_cancel(id_)
    return id_


def _ended(phase: Phase) -> Callable[[Store], Awaitable[ExecutionId]]:
    async def bring(store: Store) -> ExecutionId:
        id_ = await running(store)
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=phase, error="it broke"))
        return id_

    return bring


_BRING: dict[Stage, Callable[[Store], Awaitable[ExecutionId]]] = {
    Stage.QUEUED: accepted,
    Stage.GIVEN_UP: _given_up,
    Stage.SUBMITTED: submitted,
    Stage.RUNNING: running,
    Stage.COMPLETED: _ended(Phase.COMPLETED),
    Stage.FAILED: _ended(Phase.FAILED),
    Stage.CANCELLED: _cancelled,
}


async def bring_to(store: Store, stage: Stage) -> Execution:
    """A new execution at `stage`."""
    return await store.executions.get(await _BRING[stage](store))


async def timeline(store: Store, id_: ExecutionId) -> list[str]:
    """The texts of its events; fails if their numbers have a gap."""
    events = await store.events.list(id_)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.text for event in events]
