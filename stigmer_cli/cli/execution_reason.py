"""Says why an execution is not done yet."""

import re

from stigmer_cli.api.resources import DispatchState, ExecutionResource
from stigmer_cli.clock import iso
from stigmer_cli.domain.phase import Phase

PHASE_STYLES: dict[Phase, str] = {
    Phase.PENDING: "yellow",
    Phase.IN_PROGRESS: "cyan",
    Phase.COMPLETED: "green",
    Phase.FAILED: "red",
    Phase.CANCELLED: "dim",
}

NOT_CLAIMED = "no run has claimed it yet"


def describe_reason(execution: ExecutionResource) -> str:
    """Why it is stuck, else what it waits for, or the error it ended with; may be empty."""
    status, stuck = execution.status, execution.stuck
    if stuck is not None:
        return f"{stuck.kind}: {drop_workflow_name(stuck.cause, execution.metadata.id)}"
    if status.phase.is_terminal:
        return status.error or ""
    if status.attention is not None:
        return f"needs attention: {status.attention.reason}"
    if status.dispatch.state is DispatchState.QUEUED:
        return status.dispatch.detail or "accepted, about to be submitted"
    if status.phase is Phase.PENDING:
        return f"{status.dispatch.detail or NOT_CLAIMED} (submitted at {iso(status.dispatch.since)})"
    if not status.attempt:
        return f"claimed by {status.runner}, which is about to perform it"
    return f"attempt {status.attempt} runs on {status.runner}"


def drop_workflow_name(cause: str, execution: str) -> str:
    """`cause` without the workflow's name, which contains the id that is shown beside it."""
    return re.sub(rf" \S*/{re.escape(execution)}(/\d+)?", "", cause)
