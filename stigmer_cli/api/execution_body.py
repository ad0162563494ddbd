"""Executions as they go over the wire."""

from stigmer_cli.api.resources import (
    AttentionBody,
    DispatchBody,
    ExecutionMetadata,
    ExecutionResource,
    ExecutionSpec,
    ExecutionStatus,
    MessageBody,
    ModelWaitBody,
)
from stigmer_cli.api.steps import JournalBody
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.api.tasks import TaskList
from stigmer_cli.api.usage import used_body
from stigmer_cli.api.waiting import waiting_body
from stigmer_cli.api.workflow_values import LISTED_CHARS_MAX, parse_error, parse_kept
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase

KIND_NAMES: dict[Kind, str] = {Kind.AGENT: "AgentExecution", Kind.WORKFLOW: "WorkflowExecution"}


def execution_resource(
    execution: Execution,
    stuck: StuckBody | None = None,
    journal: JournalBody | None = None,
    tasks: TaskList | None = None,
) -> ExecutionResource:
    """`execution` as it goes over the wire; `stuck` says why it makes no progress, `journal` and `tasks` what it did.

    Without a journal it is one of a list, or the answer to a request that changed it.
    """
    return ExecutionResource(
        kind=KIND_NAMES[execution.kind],
        metadata=ExecutionMetadata(
            name=execution.id,
            slug=execution.id,
            id=execution.id,
            labels=dict(execution.labels),
            created_at=execution.created_at,
        ),
        spec=_spec(execution, is_whole=journal is not None),
        status=_status(execution, journal, tasks),
        stuck=stuck,
    )


def _spec(execution: Execution, *, is_whole: bool) -> ExecutionSpec:
    if execution.kind is Kind.AGENT:
        return ExecutionSpec(
            agent_id=execution.agent_id,
            agent_name=execution.agent_name,
            message=execution.message,
            timeout_s=execution.timeout_s,
            session=execution.session,
        )
    is_shown = is_whole or len(execution.message) <= LISTED_CHARS_MAX
    return ExecutionSpec(
        workflow_id=execution.agent_id,
        workflow_name=execution.agent_name,
        input=parse_kept(execution.message or "null") if is_shown else None,
        input_omitted=not is_shown,
        timeout_s=execution.timeout_s,
    )


def _status(execution: Execution, journal: JournalBody | None, tasks: TaskList | None) -> ExecutionStatus:
    attention, wait = execution.attention, execution.model_wait
    is_workflow = execution.kind is Kind.WORKFLOW
    is_shown = not is_workflow or journal is not None or len(execution.output or "") <= LISTED_CHARS_MAX
    output = parse_kept(execution.output) if is_workflow and is_shown else execution.output
    return ExecutionStatus(
        phase=execution.phase,
        epoch=execution.epoch,
        messages=[MessageBody(role=message.role, content=message.content) for message in execution.messages],
        output=output if is_shown else None,
        output_omitted=not is_shown,
        error=parse_error(execution) if is_workflow else execution.error,
        usage=used_body(execution.usage) if execution.usage else None,
        started_at=execution.started_at,
        completed_at=execution.completed_at,
        cancel_requested_at=execution.cancel_requested_at,
        runner=execution.claimed_by,
        attempt=execution.claimed_attempt,
        model_wait=wait
        and ModelWaitBody(cause=wait.cause, since=wait.since, tries=wait.tries, next_try_at=wait.next_try_at),
        dispatch=_dispatch(execution),
        attention=attention and AttentionBody(code=attention.code, reason=attention.reason, since=attention.since),
        waiting=waiting_body(execution.waiting) if execution.waiting else None,
        steps=journal.steps if journal else None,
        step_count=journal.count if journal else None,
        tasks=tasks.tasks if tasks else None,
        task_count=tasks.count if tasks else None,
    )


def _dispatch(execution: Execution) -> DispatchBody:
    dispatch = execution.dispatch
    is_queued = not dispatch.is_submitted and not execution.phase.is_terminal
    is_waiting = execution.phase is Phase.PENDING
    return DispatchBody(
        state=_dispatch_state(execution),
        reason=dispatch.reason if is_waiting else None,
        detail=dispatch.detail if is_waiting else "",
        since=dispatch.submitted_at or dispatch.since,
        attempts=dispatch.attempts,
        next_try_at=dispatch.next_try_at if is_queued and execution.attention is None else None,
        submitted_at=dispatch.submitted_at,
        workflow_id=execution.workflow.id,
        run_id=dispatch.run_id,
    )


def _dispatch_state(execution: Execution) -> DispatchState:
    if execution.dispatch.is_submitted:
        return DispatchState.SUBMITTED
    return DispatchState.WITHDRAWN if execution.phase.is_terminal else DispatchState.QUEUED
