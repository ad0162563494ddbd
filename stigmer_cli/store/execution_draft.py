"""An execution as it is asked for, and the row that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select

from stigmer_cli.domain.execution import EventType, QueueReason
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.database import EventDraft, Writing
from stigmer_cli.store.event_chain import GENERATION, PARENT, find_started_generation
from stigmer_cli.store.event_tables import event_counter
from stigmer_cli.store.forking import Fork

EVENTS_SEEN = "events_seen"
"""Under this name the data of the first event has the number of the last CloudEvent that came in before."""

_LAST = select(event_counter.c.seq).where(event_counter.c.id == 1)


@dataclass(frozen=True, kw_only=True)
class ExecutionDraft:
    """An execution as it was asked for. `request_hash` tells a repeated request from another one with the same key.

    `fork`: whose recorded steps it takes over. `session`: the one that it joins. `conversation_of`: it sees what this
    execution sees of a conversation. `version_id` is the document that an execution of a workflow goes on with; then
    `message` is its input (JSON text), and `agent_id` and `agent_name` are those of the workflow. `parent`: who
    waits for its end. `started_by`: who does not.
    """

    id: ExecutionId
    kind: Kind
    agent_id: AgentId
    agent_name: str
    message: str
    timeout_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    request_hash: str = ""
    fork: Fork | None = None
    session: str | None = None
    limits: Mapping[str, object] = field(default_factory=dict)
    conversation_of: ExecutionId | None = None
    version_id: str | None = None
    parent: ExecutionId | None = None
    started_by: ExecutionId | None = None


def first_row(
    draft: ExecutionDraft, store: StoreId, reason: QueueReason, detail: str, now: datetime
) -> Mapping[str, object]:
    """The row of an execution that is accepted `now`: PENDING, and due at once."""
    return {
        "id": draft.id,
        "store_id": store,
        "kind": draft.kind,
        "agent_id": draft.agent_id,
        "agent_name": draft.agent_name,
        "agent_version": draft.version_id,
        "message": draft.message,
        "timeout_s": draft.timeout_s,
        "labels": dict(draft.labels),
        "idempotency_key": draft.idempotency_key,
        "request_hash": draft.request_hash,
        "parent": draft.parent,
        "phase": Phase.PENDING,
        "epoch": 1,
        "version": 1,
        "event_seq": 1,
        "created_at": now,
        "queue_reason": reason,
        "queue_detail": detail,
        "queued_since": now,
        "attempts": 0,
        "next_try_at": now,
        "claimed_attempt": 0,
    }


def accepted_event(draft: ExecutionDraft) -> EventDraft:
    """The first event of an execution, which says of a fork where it comes from."""
    if draft.parent is not None:
        return EventDraft(
            type=EventType.ACCEPTED,
            text=f"accepted for {draft.parent}, which waits for it",
            data={PARENT: draft.parent},
        )
    if draft.started_by is not None:
        text = f"accepted for {draft.started_by}, which does not wait for it"
        return EventDraft(type=EventType.ACCEPTED, text=text)
    if draft.fork is None:
        return EventDraft(type=EventType.ACCEPTED, text="accepted")
    source, before = draft.fork.source, draft.fork.before
    text = f"accepted, as a fork of {source} from step {before}{' with another message' if draft.fork.asks else ''}"
    return EventDraft(type=EventType.ACCEPTED, text=text, data={"source": source, "before": before})


async def append_accepted(
    writing: Writing, draft: ExecutionDraft, *, events_seen: int | None = None, generation: int = 0
) -> None:
    """Write the first event of an execution.

    That of a workflow keeps the number of the last CloudEvent that came in before: what it listens for comes later,
    whatever a clock says. `events_seen`: the number of the one that starts it, in this `generation`. Raises Conflict
    where too many have started each other.
    """
    event = accepted_event(draft)
    if draft.kind is Kind.WORKFLOW:
        seen = int(await writing.connection.scalar(_LAST) or 0) if events_seen is None else events_seen
        if draft.started_by is not None:
            generation = await find_started_generation(writing, draft.started_by)
        chain = {GENERATION: generation} if generation else {}
        event = replace(event, data={**event.data, EVENTS_SEEN: seen, **chain})
    await writing.append(draft.id, 1, event)
