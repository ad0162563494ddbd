"""Says why an execution is not done yet."""

import re
from typing import TYPE_CHECKING

from stigmer_cli.api.listed import ListedExecution, ListedExecutionStatus, ListedModelWait, ListedWaiting
from stigmer_cli.clock import iso
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.time_format import time_beside

if TYPE_CHECKING:
    from stigmer_cli.api.resources import ExecutionResource, ExecutionStatus, ModelWaitBody
    from stigmer_cli.api.waiting import WaitingBody

PHASE_STYLES: dict[Phase, str] = {
    Phase.PENDING: "yellow",
    Phase.IN_PROGRESS: "cyan",
    Phase.COMPLETED: "green",
    Phase.FAILED: "red",
    Phase.CANCELLED: "dim",
}

NAMED_IN_CAUSE = frozenset({StuckClass.WAITING_FOR_MODEL})
"""Classes whose cause says itself what is waited for: the model, or one of the tool servers."""

NOT_CLAIMED = "no run has claimed it yet"


def describe_reason(execution: "ExecutionResource | ListedExecution") -> str:
    """Why it is stuck, else what it waits for, or the error it ended with; may be empty."""
    status, stuck = execution.status, execution.stuck
    if stuck is not None:
        cause = drop_workflow_name(stuck.cause, execution.metadata.id)
        return cause if stuck.kind in NAMED_IN_CAUSE else f"{stuck.kind}: {cause}"
    if status.phase.is_terminal:
        return status.error_text or ""
    if status.waiting is not None:
        return describe_wait(status.waiting)
    if status.attention is not None:
        return f"needs attention: {status.attention.reason}"
    if status.dispatch.state is DispatchState.QUEUED:
        return status.dispatch.detail or "accepted, about to be submitted"
    if status.phase is Phase.PENDING:
        return f"{status.dispatch.detail or NOT_CLAIMED} (submitted at {iso(status.dispatch.since)})"
    return _describe_progress(status)


def _describe_progress(status: "ExecutionStatus | ListedExecutionStatus") -> str:
    """What an execution that a run has claimed waits for, or where it runs."""
    if status.model_wait is not None and status.model_wait.next_try_at is not None:
        return describe_model_wait(status.model_wait)
    if not status.attempt:
        return f"claimed by {status.runner}, which is about to perform it"
    return f"attempt {status.attempt} runs on {status.runner}"


def describe_wait(waiting: "WaitingBody | ListedWaiting") -> str:
    """What it waits for while nobody works on it, and until when, by the clock of this machine."""
    until = f", until {time_beside(waiting.until, waiting.since)}" if waiting.until else ""
    more = f", and {len(waiting.calls) - 1} more" if len(waiting.calls) > 1 else ""
    return f"{'paused: ' if waiting.is_pause else ''}{waiting.cause}{more}{until}"


def describe_model_wait(wait: "ModelWaitBody | ListedModelWait") -> str:
    """What the model said last, since when and how often, and when it is asked again, by the clock of this machine."""
    tries = "1 try" if wait.tries == 1 else f"{wait.tries} tries"
    now = wait.next_try_at or wait.since
    next_try = f"; next try {time_beside(now, wait.since)}" if wait.next_try_at else ""
    return f"{wait.cause}; {tries} since {time_beside(wait.since, now)}{next_try}"


def drop_workflow_name(cause: str, execution: str) -> str:
    """`cause` without the workflow's name, which contains the id that is shown beside it."""
    return re.sub(rf" \S*/{re.escape(execution)}(/\d+)?", "", cause)
