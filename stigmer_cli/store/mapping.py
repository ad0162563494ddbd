"""Rows as the domain's values, and an outcome as columns and an event."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from stigmer_cli.domain.execution import (
    Agent,
    AgentSpec,
    Attention,
    AttentionCode,
    Dispatch,
    Event,
    EventType,
    Execution,
    Message,
    ModelWait,
    Outcome,
    QueueReason,
)
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor, Waiting
from stigmer_cli.store.call_generations import read_generations
from stigmer_cli.store.database import EventDraft
from stigmer_cli.store.follow_ups import read_asked
from stigmer_cli.store.usage import usage_of

NO_ATTENTION: Mapping[str, None] = {"attention_code": None, "attention_reason": None, "attention_since": None}
NO_WAIT: Mapping[str, None] = {
    "waiting_for": None,
    "waiting_step": None,
    "waiting_since": None,
    "waiting_until": None,
    "waiting_cause": None,
}

OUTCOME_EVENTS: Mapping[Phase, EventType] = {
    Phase.COMPLETED: EventType.COMPLETED,
    Phase.FAILED: EventType.FAILED,
    Phase.CANCELLED: EventType.CANCELLED,
}


def agent_of(row: RowMapping | Mapping[str, Any]) -> Agent:
    """The agent in `row`."""
    return Agent(
        id=row["id"],
        name=row["name"],
        slug=row["slug"],
        labels=row["labels"],
        annotations=row["annotations"],
        spec=AgentSpec(
            description=row["description"],
            instructions=row["instructions"],
            model=row["model"],
            document=row["document"] or {},
        ),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def execution_of(row: RowMapping, messages: tuple[Message, ...] = ()) -> Execution:
    """The execution in `row`."""
    return Execution(
        id=row["id"],
        store=row["store_id"],
        kind=Kind(row["kind"]),
        agent_id=row["agent_id"],
        agent_name=row["agent_name"],
        message=row["message"],
        is_pinned=row["agent_version"] is not None,
        session=row["session"],
        has_conversation=row["conversation"] is not None,
        asked=() if row["follow_up"] is None else tuple(read_asked(row["message"], row["follow_up"])),
        timeout_s=row["timeout_s"],
        labels=row["labels"],
        phase=Phase(row["phase"]),
        epoch=row["epoch"],
        version=row["version"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        dispatch=_dispatch_of(row),
        claimed_run=row["claimed_run"],
        claimed_by=row["claimed_by"],
        claimed_attempt=row["claimed_attempt"],
        model_wait=_model_wait_of(row),
        cancel_requested_at=row["cancel_requested_at"],
        attention=_attention_of(row),
        waiting=_waiting_of(row),
        output=row["output"],
        error=row["error"],
        error_fields=row["error_fields"],
        usage=usage_of(row["usage"]),
        messages=messages,
        has_steps=bool(row.get("has_steps")),
        generations=read_generations(row),
    )


def event_of(row: RowMapping) -> Event:
    """The event in `row`."""
    return Event(
        execution=row["execution_id"],
        seq=row["seq"],
        at=row["at"],
        type=EventType(row["type"]),
        text=row["text"],
        data=row["data"],
    )


def map_outcome(outcome: Outcome, now: datetime) -> Mapping[str, object]:
    """The columns of an execution that ended with `outcome`: it waits for nothing and needs no attention."""
    return {
        **NO_ATTENTION,
        **NO_WAIT,
        "phase": outcome.phase,
        "output": outcome.output,
        "error": outcome.error,
        "error_fields": outcome.error_fields,
        "completed_at": now,
        "next_try_at": None,
    }


def outcome_event(outcome: Outcome, *, source: str = "") -> EventDraft:
    """`completed`, `failed: <error>`, `cancelled`; `source` names where it comes from, if not from the run itself."""
    words = outcome.phase.value.lower() + (f": {outcome.error}" if outcome.error else "")
    return EventDraft(
        type=OUTCOME_EVENTS[outcome.phase],
        text=words + (f" ({source})" if source else ""),
        data={"source": source} if source else {},
    )


def _dispatch_of(row: RowMapping) -> Dispatch:
    is_for_model = row["queue_reason"] == QueueReason.MODEL_BUSY
    return Dispatch(
        reason=QueueReason.ACCEPTED if is_for_model else QueueReason(row["queue_reason"]),
        detail="" if is_for_model else row["queue_detail"],
        since=row["queued_since"],
        attempts=row["attempts"] if Phase(row["phase"]) is Phase.PENDING else 0,
        next_try_at=None if is_for_model else row["next_try_at"],
        submitted_at=row["submitted_at"],
        run_id=row["run_id"],
        cluster=row["world"],
    )


def _model_wait_of(row: RowMapping) -> ModelWait | None:
    if row["phase"] != Phase.IN_PROGRESS or row["queue_reason"] != QueueReason.MODEL_BUSY:
        return None
    return ModelWait(
        cause=row["queue_detail"],
        since=row["queued_since"],
        tries=row["attempts"],
        next_try_at=row["next_try_at"],
    )


def _attention_of(row: RowMapping) -> Attention | None:
    if row["attention_code"] is None:
        return None
    return Attention(
        code=AttentionCode(row["attention_code"]), reason=row["attention_reason"], since=row["attention_since"]
    )


def _waiting_of(row: RowMapping) -> Waiting | None:
    if row["waiting_for"] is None:
        return None
    return Waiting(
        wait_for=WaitFor(row["waiting_for"]),
        step=row["waiting_step"],
        since=row["waiting_since"],
        until=row["waiting_until"],
        cause=row["waiting_cause"],
    )
